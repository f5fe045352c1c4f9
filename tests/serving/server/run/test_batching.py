"""Requests that run as one: what each gets, what fails alone, and what is refused."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serving.errors import Code, StatusError
from serving.server.run.batching import Batcher
from serving.server.run.batching_options import batching_options
from serving.server.run.executor import SettledTasks, Task, ThreadExecutor


class Doubler:
    """A servable that records the shapes of its runs, waits on demand, and refuses negative input."""

    def __init__(self):
        self.signatures = {}
        self.shapes = []
        self.timeouts = []
        self.go = threading.Event()
        self.go.set()

    def run(self, feeds, fetches, timeout):
        self.go.wait(10)
        x = feeds["x"]
        self.shapes.append(x.shape)
        self.timeouts.append(timeout)
        if x.size and x.min() < 0:
            raise StatusError(Code.INVALID_ARGUMENT, "negative")
        return [x * 2, x.sum(axis=tuple(range(1, x.ndim)))]

    def close(self):
        pass


def run(use, servable=None, threads=None, **fields):
    """Runs `use(submit, servable)` on a batcher with the fields, or on plain threads."""

    async def main():
        loop = asyncio.get_running_loop()
        settled = SettledTasks(loop)
        options = None if threads else batching_options({"num_batch_threads": 1, **fields})
        executor = ThreadExecutor(threads, settled) if threads else Batcher(options, options.num_batch_threads, settled)
        model = servable or Doubler()

        def submit(x, seconds=None, finished=lambda seconds: None):
            future = loop.create_future()
            expires = None if seconds is None else time.monotonic() + seconds
            task = Task(model, {"x": np.asarray(x, np.float32)}, ("y", "sum"), future, expires, finished)
            executor.submit(task)
            task.watch()
            return future

        try:
            return await use(submit, model)
        finally:
            model.go.set()
            await loop.run_in_executor(None, executor.stop)

    return asyncio.run(asyncio.wait_for(main(), 20))


async def queued_behind_another(submit, model, *arrays, **kwargs):
    """Submits arrays while the only thread is busy with another one."""
    model.go.clear()
    first = submit([[0.0]])
    await asyncio.sleep(0.05)
    futures = [submit(array, **kwargs) for array in arrays]
    model.go.set()
    await first
    model.shapes.pop(0)
    return await asyncio.gather(*futures, return_exceptions=True)


def test_queued_requests_run_as_one_batch_and_each_gets_its_rows():
    async def use(submit, model):
        results = await queued_behind_another(submit, model, [[1, 2]], [[3, 4], [5, 6]], [[7, 8]])
        assert [result[0].tolist() for result in results] == [[[2, 4]], [[6, 8], [10, 12]], [[14, 16]]]
        assert [result[1].tolist() for result in results] == [[3], [7, 11], [15]]
        assert model.shapes == [(4, 2)]

    run(use)


def test_a_batch_has_at_most_the_maximum_size():
    async def use(submit, model):
        await queued_behind_another(submit, model, *[[[n]] for n in range(5)])
        assert model.shapes == [(2, 1), (2, 1), (1, 1)]
        with pytest.raises(StatusError) as refused:
            submit([[1]] * 3)
        assert (refused.value.code, refused.value.message) == (
            Code.INVALID_ARGUMENT,
            "Task size 3 is larger than maximum input batch size 2",
        )

    run(use, max_batch_size=2)


def test_a_bad_request_fails_alone():
    async def use(submit, model):
        good, bad, other = await queued_behind_another(submit, model, [[1]], [[-1]], [[2]])
        assert (good[0].tolist(), other[0].tolist()) == ([[2]], [[4]])
        assert bad.message == "negative"
        assert model.shapes == [(3, 1), (1, 1), (1, 1), (1, 1)]

    run(use)


def test_only_matching_requests_share_a_batch():
    async def use(submit, model):
        await queued_behind_another(submit, model, [[1]], [[1, 2]], [[3]], [1])
        assert sorted(model.shapes) == [(1,), (1, 2), (2, 1)]

    run(use)


def test_shorter_rows_are_padded_with_their_first_value_if_configured():
    async def use(submit, model):
        short, long = await queued_behind_another(submit, model, [[5, 6]], [[1, 2, 3]])
        assert short[0].tolist() == [[10, 12, 10]]
        assert long[0].tolist() == [[2, 4, 6]]

    run(use, pad_variable_length_inputs=True)


def test_a_batch_is_padded_to_an_allowed_size():
    async def use(submit, model):
        results = await queued_behind_another(submit, model, [[1]], [[2]], [[3]])
        assert [result[0].tolist() for result in results] == [[[2]], [[4]], [[6]]]
        assert model.shapes == [(4, 1)]

    run(use, max_batch_size=8, allowed_batch_sizes=[1, 4, 8])


def test_a_large_request_is_split_if_configured():
    async def use(submit, model):
        [result] = await asyncio.gather(submit(np.arange(7)[:, None]))
        assert result[0].ravel().tolist() == [0, 2, 4, 6, 8, 10, 12]
        assert result[1].tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert sorted(model.shapes) == [(1, 1), (3, 1), (3, 1)]
        first, second = await queued_behind_another(submit, model, np.ones((2, 1)), np.full((2, 1), -1))
        assert first[0].ravel().tolist() == [2, 2]
        assert second.message == "negative"

    run(use, max_batch_size=100, enable_large_batch_splitting=True, max_execution_batch_size=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"max_enqueued_batches": 2, "max_batch_size": 1},
            "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
            "max_enqueued_batches is 2",
        ),
        (
            {"max_enqueued_batches": 2, "max_batch_size": 1, "enable_large_batch_splitting": True},
            "The batch scheduling queue to which this task was submitted is full; task size is 1 but scheduling "
            "capacity is only 0 (num_enqueued_batches=2, max_enqueued_batches=2, open_batch_size=1, "
            "max_execution_batch_size=1)",
        ),
    ],
)
def test_a_full_queue_refuses_at_once(fields, message):
    async def use(submit, model):
        model.go.clear()
        futures = [submit([[0]])]
        await asyncio.sleep(0.05)
        futures += [submit([[1]]), submit([[2]])]
        with pytest.raises(StatusError) as refused:
            submit([[3]])
        assert (refused.value.code, refused.value.message) == (Code.RESOURCE_EXHAUSTED, message)
        model.go.set()
        assert [result[0].tolist() for result in await asyncio.gather(*futures)] == [[[0]], [[2]], [[4]]]

    run(use, **fields)


def test_a_batch_waits_for_more_as_long_as_it_may():
    async def use(submit, model):
        started = time.monotonic()
        first = submit([[1]])
        await asyncio.sleep(0.05)
        await asyncio.gather(first, submit([[2]]))
        assert model.shapes == [(2, 1)]
        assert time.monotonic() - started >= 1

    run(use, batch_timeout_micros=1_000_000, max_batch_size=4)


def test_a_full_batch_does_not_wait():
    async def use(submit, model):
        await asyncio.gather(*[submit([[n]]) for n in range(4)])  # `run` allows 20 s
        assert model.shapes == [(4, 1)]

    run(use, batch_timeout_micros=60_000_000, max_batch_size=4)


@pytest.mark.parametrize("kind", [{"threads": 1}, {}])
def test_a_request_past_its_deadline_is_not_run(kind):
    async def use(submit, model):
        model.go.clear()
        first = submit([[0]])
        await asyncio.sleep(0.05)
        started = time.monotonic()
        late = submit([[1]], seconds=0.1)
        with pytest.raises(StatusError) as refused:
            await late
        assert refused.value.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 5
        over = submit([[2]], seconds=-1)
        model.go.set()
        await first
        with pytest.raises(StatusError, match="Deadline exceeded"):
            await over
        assert (await submit([[3]], seconds=9))[0].tolist() == [[6]]
        assert model.shapes == [(1, 1), (1, 1)]
        assert model.timeouts[0] is None
        assert 8 < model.timeouts[1] <= 9

    run(use, **kind)


@pytest.mark.parametrize("kind", [{"threads": 1}, {}])
def test_a_cancelled_request_breaks_no_other_and_is_finished_once(kind):
    ended = []

    async def use(submit, model):
        model.go.clear()
        futures = [submit([[n]], finished=ended.append) for n in range(3)]
        await asyncio.sleep(0.05)
        futures[0].cancel()
        futures[1].cancel()
        model.go.set()
        assert (await futures[2])[0].tolist() == [[4]]

    run(use, **kind)
    assert len(ended) == 3


@pytest.mark.parametrize("kind", [{"threads": 2}, {}])
def test_an_unexpected_error_is_internal_and_the_thread_continues(kind):
    class Odd(Doubler):
        def run(self, feeds, fetches, timeout):
            if feeds["x"].max() > 100:
                raise ZeroDivisionError("odd")
            return super().run(feeds, fetches, timeout)

    async def use(submit, model):
        for _ in range(3):
            with pytest.raises(StatusError) as failed:
                await submit([[1000]])
            assert (failed.value.code, failed.value.message) == (Code.INTERNAL, "ZeroDivisionError: odd")
        assert (await submit([[1]]))[0].tolist() == [[2]]

    run(use, servable=Odd(), **kind)


def test_pieces_with_mismatched_outputs_are_an_error_and_the_thread_continues():
    class Ragged(Doubler):
        def run(self, feeds, fetches, timeout):
            x = feeds["x"]
            return [np.ones((len(x), int(x[0, 0])))]

    async def use(submit, model):
        with pytest.raises(StatusError, match="Tensor concat operation failed") as failed:
            await submit([[1], [2]])
        assert failed.value.code is Code.INTERNAL
        assert (await submit([[3]]))[0].shape == (1, 3)

    options = {"max_batch_size": 4, "enable_large_batch_splitting": True, "max_execution_batch_size": 1}
    run(use, servable=Ragged(), **options)
