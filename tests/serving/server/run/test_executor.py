"""The threads of an executor: how they start, and the extra threads during long runs."""

import asyncio
import threading

import numpy as np
import pytest
from tiny_servers import until

from serving.errors import Code, StatusError
from serving.server.run import extra_threads
from serving.server.run.executor import SettledTasks, Task, ThreadExecutor, start_threads


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


def test_long_tasks_get_extra_threads_that_end_again():
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
        threads = ThreadExecutor(2, SettledTasks(loop), name="relieved")

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


def test_an_extra_thread_that_cannot_be_started_is_retried(monkeypatch):
    monkeypatch.setattr(extra_threads, "_PATIENCE_SECONDS", 0.01)
    tries = []

    def start():
        tries.append(1)
        if len(tries) < 3:
            raise StatusError(Code.RESOURCE_EXHAUSTED, "no thread")

    async def main():
        more = extra_threads.ExtraThreads(lambda: len(tries) < 3, start)
        more.watch(asyncio.get_running_loop())
        await until(lambda: len(tries) == 3)
        assert more.threads == 1

    asyncio.run(asyncio.wait_for(main(), 20))
