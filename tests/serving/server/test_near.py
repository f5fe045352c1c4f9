"""Short runs in the event loop: which they are, in what order, and for how long between two looks at the sockets."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serving.server import near as module
from serving.server.batching import Batcher
from serving.server.batching_options import batching_options
from serving.server.executor import Settled, Task, Threads
from serving.server.near import SHORT, Near, size_of


class Model:
    """A servable that notes in which thread it ran and how many rows."""

    def __init__(self, waits=False):
        self.signatures, self.waits = {}, waits
        self.ran = []

    def run(self, feeds, fetches, timeout):
        self.ran.append((threading.get_ident(), len(feeds["x"])))
        return [feeds["x"] + 1]

    def close(self):
        pass


def served(use, model, **batching):
    """Runs `use(submit, near)`; requests are joined where there are parameters for that."""

    async def main():
        loop, near = asyncio.get_running_loop(), Near()
        settled = Settled(loop)
        executor = Batcher(batching_options(batching), 1, settled, near) if batching else Threads(1, settled, near)

        def submit(rows, expires=None):
            task = Task(model, {"x": np.zeros([rows, 2], np.float32)}, ("y",), loop.create_future(), expires)
            executor.submit(task)
            return task.future

        try:
            return await use(submit, near)
        finally:
            await loop.run_in_executor(None, executor.stop)

    return asyncio.run(asyncio.wait_for(main(), 20))


KINDS = pytest.mark.parametrize("batching", [{}, {"max_batch_size": 8}], ids=["threads", "batches"])


@KINDS
def test_a_size_that_has_run_shortly_runs_in_the_loop_and_a_new_one_does_not(batching):
    model, here = Model(), threading.get_ident()

    async def use(submit, near):
        for rows in (1, 1, 4, 4, 1):
            assert (await submit(rows))[0].shape == (rows, 2)
        assert [thread == here for thread, _ in model.ran] == [False, True, False, True, True]

    served(use, model, **batching)


@KINDS
def test_what_may_wait_for_another_run_never_runs_in_the_loop(batching):
    model, here = Model(waits=True), threading.get_ident()

    async def use(submit, near):
        for _ in range(3):
            await submit(1)
        assert here not in {thread for thread, _ in model.ran}

    served(use, model, **batching)


def test_what_comes_in_one_turn_of_the_loop_is_joined_there():
    model, here = Model(), threading.get_ident()

    async def use(submit, near):
        near.note(model, size_of([{"x": np.zeros([3, 2], np.float32)}]), 1e-4)
        answers = await asyncio.gather(submit(1), submit(1), submit(1))
        assert [answer[0].shape for answer in answers] == [(1, 2)] * 3
        assert model.ran == [(here, 3)]

    served(use, model, max_batch_size=8)


@KINDS
def test_a_request_that_is_too_late_is_not_run_in_the_loop_either(batching):
    model = Model()

    async def use(submit, near):
        await submit(1)
        with pytest.raises(Exception, match="Deadline exceeded"):
            await submit(1, expires=time.monotonic() - 1)
        assert len(model.ran) == 1

    served(use, model, **batching)


def test_a_run_that_was_long_is_not_short_until_others_of_its_size_were():
    near, model = Near(), Model()
    assert not near.takes(model, 5)
    near.note(model, 5, 2 * SHORT)
    assert not near.takes(model, 5)
    for _ in range(10):
        near.note(model, 5, SHORT / 2)
    assert near.takes(model, 5)
    assert not near.takes(model, 6)
    assert not near.takes(Model(), 5)


def test_the_loop_gets_its_turn_after_a_while_and_the_order_stays(monkeypatch):
    monkeypatch.setattr(module, "SHORT", 0.02)
    near, done = Near(), []

    async def main():
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for index in range(6):
            near.do(lambda index=index: (time.sleep(0.015), done.append(index)))
        assert time.perf_counter() - began < 0.045
        assert done == [0, 1]
        loop.call_soon(done.append, "a look at the sockets")
        while len(done) < 7:
            await asyncio.sleep(0)
        assert done == [0, 1, 2, 3, "a look at the sockets", 4, 5]
        near.soon(lambda: done.append("soon"))
        assert done[-1] != "soon"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert done[-1] == "soon"

    asyncio.run(main())


def test_sizes_are_powers_of_two_and_strings_count_by_their_bytes():
    def text(value):
        return [{"text": np.array([value], object)}]

    assert size_of(text(b"x" * 100)) == size_of(text(b"x" * 127)) != size_of(text(b"x" * 128))
    assert size_of([{"x": np.zeros(16, np.float32)}]) == size_of(text(b"x" * 64))
    assert size_of([]) == 0
