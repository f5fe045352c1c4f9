"""Large runs go beside the small ones, and begin only where there is memory for them."""

import asyncio
import contextlib
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from tiny_servers import until

from serving.errors import Code, StatusError
from serving.server.run import process_memory, relief_threads
from serving.server.run.batching import Batcher
from serving.server.run.batching_options import batching_options
from serving.server.run.executor import Settled, Task, Threads, at_once, start_threads
from serving.server.run.lanes import Lanes, is_large
from serving.server.run.output_sizes import Size
from serving.server.run.run_memory import FREE_ROWS, RunMemory

MIB = 2**20


class Model:
    """Gives back what it is fed; rows that begin with a 9 wait until `go`. `row_bytes` are what it takes for a row."""

    signatures = {}

    def __init__(self, row_bytes=MIB):
        self.go, self.row_bytes, self.shapes = threading.Event(), row_bytes, []

    def run(self, feeds, fetches, timeout):
        [x] = feeds.values()
        self.shapes.append(len(x))
        if x.size and x.flat[0] == 9:
            self.go.wait(20)
        return [x]

    def close(self):
        pass


@pytest.fixture
def measured(monkeypatch):
    """Makes a run seem to take what its model says."""

    def measure(model):
        class Measured:
            def __enter__(self):
                self.peak, self.before = process_memory.Peak(), len(model.shapes)
                return self.peak

            def __exit__(self, *error):
                if len(model.shapes) > self.before:
                    self.peak.bytes = model.shapes[-1] * model.row_bytes

        monkeypatch.setattr(process_memory, "measured", Measured)
        monkeypatch.setattr(process_memory, "trim_soon", lambda: None)

    return measure


def free(mebibytes):
    return lambda processes: mebibytes * MIB


def rows(count):
    return {"x": np.ones((count, 1), np.float32)}


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
def test_what_is_large_is_told_by_rows_and_bytes(array, large):
    assert is_large({"x": array}) is large


def test_a_row_is_measured_before_many_run(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(16_000))
    assert len(runs.run(model, rows(5000), ("y",), lambda: None)[0]) == 5000
    assert model.shapes == [FREE_ROWS, FREE_ROWS * 16, FREE_ROWS * 16**2, 5000]
    runs.run(model, rows(4000), ("y",), lambda: None)
    assert model.shapes[4:] == [4000]


def test_the_longest_rows_are_measured(measured):
    model = Model()
    measured(model)
    feeds = {"x": np.array([b"a" * (n % 100) for n in range(100)], object)}
    seen = []
    run = model.run
    model.run = lambda feeds, fetches, timeout: seen.append(feeds["x"]) or run(feeds, fetches, timeout)
    RunMemory(1, 1, free(16_000)).run(model, feeds, ("y",), lambda: None)
    assert sorted(map(len, seen[0].tolist())) == list(range(100 - FREE_ROWS, 100))


def test_a_run_that_there_is_no_memory_for_is_refused_and_smaller_ones_run(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(1600))
    with pytest.raises(
        StatusError, match=r"A run of 5000 rows .* takes about 7500 MiB .* 1000 MiB are free"
    ) as refused:
        runs.run(model, rows(5000), ("y",), lambda: None)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    assert max(model.shapes) <= 666
    assert len(runs.run(model, rows(600), ("y",), lambda: None)[0]) == 600


def test_a_long_text_is_refused_where_its_tokens_would_not_fit(measured):
    model = Model()
    measured(model)
    with pytest.raises(StatusError, match="A run of 1 rows"):
        RunMemory(1, 1, free(1600)).run(model, {"x": np.array([b"a" * 20 * MIB], object)}, ("y",), lambda: None)
    assert model.shapes == []


def test_runs_beside_each_other_wait_for_memory_in_their_order(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(1600))
    runs.run(model, rows(600), ("y",), lambda: None)  # learns
    order = []

    def start(name, feeds):
        thread = threading.Thread(target=lambda: (runs.run(model, feeds, ("y",), lambda: None), order.append(name)))
        thread.start()
        time.sleep(0.1)
        return thread

    first = start("first", {"x": np.full((600, 1), 9, np.float32)})
    others = [start("second", rows(550)), start("third", rows(20))]
    assert order == []
    model.go.set()
    for thread in (first, *others):
        thread.join(20)
    assert set(order) == {"first", "second", "third"}
    assert model.shapes[-2:] == [550, 20]


def test_who_waits_for_memory_goes_when_nobody_waits_for_him(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(1600))
    runs.run(model, rows(600), ("y",), lambda: None)
    nine = {"x": np.full((600, 1), 9, np.float32)}
    first = threading.Thread(target=lambda: runs.run(model, nine, ("y",), lambda: None))
    first.start()
    time.sleep(0.1)

    def gone():
        raise StatusError(Code.CANCELLED, "Cancelled")

    with pytest.raises(StatusError, match="Cancelled"):
        runs.run(model, rows(550), ("y",), gone)
    model.go.set()
    first.join(20)
    assert len(runs.run(model, rows(550), ("y",), lambda: None)[0]) == 550


def in_lanes(use, batching=None):
    """Runs `use(submit, model)` on two lanes with one thread each."""

    async def main():
        loop, model = asyncio.get_running_loop(), Model()
        settled, runs = Settled(loop), RunMemory(1, 1, lambda processes: None)
        if batching is None:
            run = {Size.SMALL: at_once, Size.LARGE: runs.run}
            lanes = Lanes(lambda size: Threads(1, settled, run[size]), runs.sizes.size)
        else:
            options = batching_options(batching)
            run = {Size.SMALL: runs.run_joined, Size.LARGE: runs.run}
            most = {Size.SMALL: runs.most_joined, Size.LARGE: lambda *arguments: sys.maxsize}
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
def test_a_large_task_whose_caller_is_gone_holds_nothing_while_it_waits(batching):
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


def test_what_gives_much_for_little_goes_to_the_large_lane_once_that_is_known():
    async def main():
        loop, model, threads = asyncio.get_running_loop(), Model(), []

        def much(feeds, fetches, timeout):
            threads.append(threading.current_thread().name)
            return [np.empty((1, 2**25), np.int8)] if "much" in fetches else [np.ones(1)]

        model.run = much
        settled, runs = Settled(loop), RunMemory(1, 1, free(16_000))
        run = {Size.SMALL: runs.run_small, Size.LARGE: runs.run}
        lanes = Lanes(lambda size: Threads(1, settled, run[size], size.name), runs.sizes.size)

        def submit(*fetches):
            future = loop.create_future()
            lanes.submit(Task(model, rows(1), fetches, future))
            return future

        await asyncio.gather(*[submit("much") for _ in range(3)], submit("little"))
        await loop.run_in_executor(None, lanes.stop)
        return sorted(threads)

    assert asyncio.run(asyncio.wait_for(main(), 20)) == ["LARGE_0"] * 2 + ["SMALL_0"] * 2


def test_joined_requests_run_in_parts_where_memory_asks_for_it(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(1600))  # a share of 200 MiB: 133 rows
    runs.run(model, rows(600), ("y",), lambda: None)
    assert runs.most_joined(model, rows(200), ("y",)) == 133
    assert runs.most_joined(Model(), rows(200), ("y",)) == 64


def test_what_a_run_takes_is_measured_and_what_is_free_is_known():
    if process_memory.available() is None:
        pytest.skip("not Linux")
    with process_memory.measured() as peak:
        content = bytearray(64 * MIB)
        content[::4096] = b"a" * len(content[::4096])
        del content
    if peak.bytes is None:
        pytest.skip("the peak cannot be forgotten here")
    assert 50 * MIB < peak.bytes < 500 * MIB
    assert process_memory.available(2) <= process_memory.available(1)


def test_where_memory_cannot_be_measured_a_large_run_runs_all_the_same(monkeypatch):
    model = Model()
    monkeypatch.setattr(process_memory, "measured", lambda: contextlib.nullcontext(process_memory.Peak()))
    runs, patience = RunMemory(1, 1, free(16_000)), iter([None] * 100)
    for _ in range(2):
        assert len(runs.run(model, rows(5000), ("y",), lambda: next(patience))[0]) == 5000
    assert model.shapes == [FREE_ROWS, 5000, 5000]


def test_no_other_run_begins_beside_one_that_is_measured(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(16_000))
    runs.run(model, rows(100), ("y",), lambda: None)  # learns
    slow = {"x": np.full((100, 2), 9, np.float32)}  # of another kind, of which nothing is known
    one = threading.Thread(target=runs.run, args=(model, slow, ("y",), lambda: None))
    one.start()
    asyncio.run(until(lambda: model.shapes[-1:] == [FREE_ROWS]))
    other = threading.Thread(target=runs.run, args=(model, rows(90), ("y",), lambda: None))
    other.start()
    time.sleep(0.3)
    assert 90 not in model.shapes
    model.go.set()
    one.join(20)
    other.join(20)
    assert 90 in model.shapes


@pytest.mark.parametrize("batching", [None, {"num_batch_threads": 1}])
@pytest.mark.parametrize("count", [1, FREE_ROWS + 1])
def test_a_thread_that_waits_for_more_holds_nothing_of_its_last_run(batching, count):
    async def use(submit, model):
        [output] = await submit(np.ones((count, 1)))
        gone = weakref.ref(output if output.base is None else output.base)
        del output
        await until(lambda: gone() is None)

    in_lanes(use, batching)


def test_a_lane_has_as_many_threads_as_can_be_started(monkeypatch):
    start, allowed = threading.Thread.start, iter([True, False, False])

    def sometimes(thread):
        if not next(allowed):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", sometimes)
        ended = threading.Event()
        assert len(start_threads("some", 3, ended.set)) == 1
        assert ended.wait(10)
        with pytest.raises(StatusError, match="can't start new thread") as refused:
            start_threads("none", 2, ended.set)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED


def test_tasks_that_go_on_are_relieved_and_the_relief_ends():
    ended = threading.Event()

    class Endless:
        signatures = {}

        def run(self, feeds, fetches, timeout):
            ended.wait(20)
            return []

    class Quick:
        signatures = {}

        def run(self, feeds, fetches, timeout):
            return [np.ones(1)]

    async def main():
        loop = asyncio.get_running_loop()
        threads = Threads(2, Settled(loop), name="relieved")

        def submit(servable):
            task = Task(servable, {}, (), loop.create_future())
            threads.submit(task)
            return task.future

        going_on = [submit(Endless()) for _ in range(3)]
        quick = [submit(Quick()) for _ in range(20)]
        await asyncio.wait_for(asyncio.gather(*quick), 10)
        assert not any(one.done() for one in going_on)
        ended.set()
        await asyncio.gather(*going_on)
        await until(lambda: not any(one.name.startswith("relieved_more") for one in threading.enumerate()))
        await loop.run_in_executor(None, threads.stop)

    asyncio.run(main())


def test_a_task_that_is_passed_on_and_refused_hears_of_it():
    refusal = StatusError(Code.RESOURCE_EXHAUSTED, "no thread")

    async def main():
        loop = asyncio.get_running_loop()

        def make(size):
            if size is Size.LARGE:
                raise refusal
            return Threads(1, Settled(loop))

        looks = iter([Size.SMALL, Size.LARGE])  # large only by what was learnt while it waited
        lanes = Lanes(make, lambda *arguments: next(looks))
        future, ended = loop.create_future(), []
        lanes.submit(Task(Model(), rows(1), ("y",), future, None, ended.append))
        with pytest.raises(StatusError, match="no thread"):
            await future
        assert ended == [None]
        await loop.run_in_executor(None, lanes.stop)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_relief_is_tried_again_where_no_thread_can_be_started(monkeypatch):
    monkeypatch.setattr(relief_threads, "_PATIENCE_SECONDS", 0.01)
    tries = []

    def start():
        tries.append(1)
        if len(tries) < 3:
            raise StatusError(Code.RESOURCE_EXHAUSTED, "no thread")

    async def main():
        more = relief_threads.Relief(lambda: len(tries) < 3, start)
        more.watch(asyncio.get_running_loop())
        await until(lambda: len(tries) == 3)
        assert more.threads == 1

    asyncio.run(asyncio.wait_for(main(), 20))
