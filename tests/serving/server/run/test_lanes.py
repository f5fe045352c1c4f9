"""Small runs do not wait for large ones."""

import asyncio
import sys
import threading
import weakref

import numpy as np
import pytest
from echo_model import MIB, Model, free, rows
from tiny_servers import until

from serving.errors import Code, StatusError
from serving.server.run.batching import Batcher
from serving.server.run.batching_options import batching_options
from serving.server.run.executor import SettledTasks, Task, ThreadExecutor, run_now
from serving.server.run.lanes import Lanes, is_large
from serving.server.run.output_sizes import RunSize
from serving.server.run.run_memory import FREE_ROWS, RunMemory


@pytest.mark.parametrize(
    ("array", "large"),
    [
        (np.ones(FREE_ROWS), False),
        (np.ones(FREE_ROWS + 1), True),
        (np.ones(()), False),
        (np.ones((1, MIB)), True),
        (np.empty((2**40, 0), np.float32), False),
        (np.array([b"a"] * FREE_ROWS, object), False),
        (np.array([b"a" * MIB], object), True),
        (np.array([[b""] * 5000], object), True),
        (np.empty((2**40, 0), object), False),
    ],
)
def test_large_runs_are_recognized_by_rows_and_bytes(array, large):
    assert is_large({"x": array}) is large


def in_lanes(use, batching=None):
    """Runs `use(submit, model)` on two lanes with one thread each."""

    async def main():
        loop, model = asyncio.get_running_loop(), Model()
        settled, runs = SettledTasks(loop), RunMemory(1, 1, lambda processes: None)
        if batching is None:
            run = {RunSize.SMALL: run_now, RunSize.LARGE: runs.run}
            lanes = Lanes(lambda size: ThreadExecutor(1, settled, run[size]), runs.sizes.size)
        else:
            options = batching_options(batching)
            run = {RunSize.SMALL: runs.run_batch, RunSize.LARGE: runs.run}
            most = {RunSize.SMALL: runs.max_batch_rows, RunSize.LARGE: lambda *arguments: sys.maxsize}
            lanes = Lanes(lambda size: Batcher(options, 1, settled, run[size], most[size]), runs.sizes.size)

        def submit(array, finished=lambda seconds: None):
            future = loop.create_future()
            lanes.submit(Task(model, {"x": np.asarray(array, np.float32)}, ("y",), future, None, finished))
            return future

        try:
            return await use(submit, model)
        finally:
            model.go.set()
            await loop.run_in_executor(None, lanes.stop)

    return asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("batching", [None, {"num_batch_threads": 1}])
def test_a_small_run_does_not_wait_for_large_ones(batching):
    async def use(submit, model):
        large = [submit(np.full((FREE_ROWS + 1, 1), 9)) for _ in range(3)]
        assert (await submit([[1]]))[0].tolist() == [[1]]
        assert not any(future.done() for future in large)
        model.go.set()
        assert [len(outputs[0]) for outputs in await asyncio.gather(*large)] == [FREE_ROWS + 1] * 3

    in_lanes(use, batching)


@pytest.mark.parametrize("batching", [None, {"num_batch_threads": 1}])
def test_a_large_task_whose_caller_has_left_holds_nothing_while_it_waits(batching):
    async def use(submit, model):
        ended = []
        first = submit(np.full((FREE_ROWS + 1, 1), 9))
        await until(lambda: model.shapes)
        second = submit(np.ones((FREE_ROWS + 2, 1)), ended.append)
        second.cancel()
        await until(lambda: ended == [None])
        assert not first.done()
        model.go.set()
        await first
        await asyncio.sleep(0.1)
        assert model.shapes == [FREE_ROWS + 1]
        assert ended == [None]

    in_lanes(use, batching)


def test_runs_with_large_outputs_move_to_the_large_lane_once_known():
    async def main():
        loop, model, threads = asyncio.get_running_loop(), Model(), []

        def much(feeds, fetches, timeout):
            threads.append(threading.current_thread().name)
            return [np.empty((1, 2**25), np.int8)] if "much" in fetches else [np.ones(1)]

        model.run = much
        settled, runs = SettledTasks(loop), RunMemory(1, 1, free(16_000))
        run = {RunSize.SMALL: runs.run_small, RunSize.LARGE: runs.run}
        lanes = Lanes(lambda size: ThreadExecutor(1, settled, run[size], size.name), runs.sizes.size)

        def submit(*fetches):
            future = loop.create_future()
            lanes.submit(Task(model, rows(1), fetches, future))
            return future

        await asyncio.gather(*[submit("much") for _ in range(3)], submit("little"))
        await loop.run_in_executor(None, lanes.stop)
        return sorted(threads)

    assert asyncio.run(asyncio.wait_for(main(), 20)) == ["LARGE_0"] * 2 + ["SMALL_0"] * 2


@pytest.mark.parametrize("batching", [None, {"num_batch_threads": 1}])
@pytest.mark.parametrize("count", [1, FREE_ROWS + 1])
def test_an_idle_thread_holds_nothing_of_its_last_run(batching, count):
    async def use(submit, model):
        [output] = await submit(np.ones((count, 1)))
        gone = weakref.ref(output if output.base is None else output.base)
        del output
        await until(lambda: gone() is None)

    in_lanes(use, batching)


def test_a_task_that_is_passed_on_and_refused_gets_the_error():
    refusal = StatusError(Code.RESOURCE_EXHAUSTED, "no thread")

    async def main():
        loop = asyncio.get_running_loop()

        def make(size):
            if size is RunSize.LARGE:
                raise refusal
            return ThreadExecutor(1, SettledTasks(loop))

        looks = iter([RunSize.SMALL, RunSize.LARGE])  # it became large only by what was learned while it waited
        lanes = Lanes(make, lambda *arguments: next(looks))
        future, ended = loop.create_future(), []
        lanes.submit(Task(Model(), rows(1), ("y",), future, None, ended.append))
        with pytest.raises(StatusError, match="no thread"):
            await future
        assert ended == [None]
        await loop.run_in_executor(None, lanes.stop)

    asyncio.run(asyncio.wait_for(main(), 20))
