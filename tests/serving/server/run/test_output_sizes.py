"""The size of a run's outputs is known from shapes, or from earlier runs of its kind."""

import asyncio
import threading

import numpy as np
import pytest

from serving.server.calls.servable import ModelSignature
from serving.server.run.executor import SettledTasks, Task, ThreadExecutor
from serving.server.run.lanes import Lanes
from serving.server.run.output_sizes import OutputSizes, RunSize
from serving.server.run.run_memory import RunMemory
from serving.wire import dtypes, protos

SHAPES = {"known": [-1, 4], "much": [-1, 2**23], "unknown": [-1, -1], "wide": [-1, -1, 2**22], "of any rank": None}


def signature():
    definition = protos.SignatureDef()
    for name, sizes in SHAPES.items():
        info = definition.outputs[name]
        info.name, info.dtype = name, dtypes.FLOAT
        info.tensor_shape.unknown_rank = sizes is None
        for size in sizes or ():
            info.tensor_shape.dim.add(size=size)
    return ModelSignature(definition)


class Model:
    """`run` returns as many MiB as its input says."""

    def __init__(self):
        self.signatures, self.threads = {"serving_default": signature()}, []

    def run(self, feeds, fetches, timeout):
        self.threads.append(threading.current_thread().name)
        return [np.empty((1, int(feeds["x"].flat[0] * 2**20)), np.int8)]


def fed(value=0, rows=1, width=1):
    return {"x": np.full((rows, width), value, np.float64)}


def gave(mib):
    return [np.empty(int(mib * 2**20), np.int8)]


@pytest.mark.parametrize(
    ("name", "rows", "size"),
    [
        ("known", 1, RunSize.SMALL),
        ("much", 1, RunSize.LARGE),
        ("unknown", 1, RunSize.NEW),
        ("wide", 1, RunSize.NEW),
        ("wide", 2, RunSize.LARGE),  # by the size that is known
        ("of any rank", 1, RunSize.NEW),
    ],
)
def test_shapes_give_the_size_if_they_are_known(name, rows, size):
    assert OutputSizes().size(Model(), fed(rows=rows), (name,)) is size


@pytest.mark.parametrize("name", ["unknown", "of any rank"])
def test_a_kind_of_run_is_new_only_once(name):
    sizes, model = OutputSizes(), Model()
    sizes.note(model, fed(), (name,), gave(0))
    assert sizes.size(model, fed(), (name,)) is RunSize.NEW  # an empty output was recorded as empty
    sizes.note(model, fed(), (name,), gave(0.1))
    assert sizes.size(model, fed(), (name,)) is RunSize.SMALL
    assert sizes.size(model, fed(width=100), (name,)) is RunSize.NEW


@pytest.mark.parametrize("name", ["known", "unknown"])
def test_a_kind_with_large_outputs_stays_large_whatever_runs_in_between(name):
    sizes, model = OutputSizes(), Model()
    sizes.note(model, fed(), (name,), gave(0.1))
    sizes.note(model, fed(), (name,), gave(20))
    sizes.note(model, fed(), (name,), gave(0.1))
    assert sizes.size(model, fed(), (name,)) is RunSize.LARGE
    assert sizes.of_row(model, fed(), (name,)) == 20 * 2**20


def test_a_long_row_does_not_predict_short_ones():
    model, runs = Model(), RunMemory(1, 1, lambda processes: 16 * 2**30)
    runs.run_small(model, fed(25, width=8192), ("unknown",), lambda: None)
    assert runs.sizes.size(model, fed(25, width=8192), ("unknown",)) is RunSize.LARGE
    assert runs.sizes.size(model, fed(width=8), ("unknown",)) is RunSize.NEW
    runs.run(model, fed(1, rows=1000, width=8), ("unknown",), lambda: None)  # there was no room for 1000 times 25 MiB


def test_the_order_of_outputs_is_ignored_and_only_some_kinds_are_remembered():
    sizes, model = OutputSizes(), Model()
    sizes.size(model, fed(), ("y", "z"))
    sizes.size(model, fed(), ("z", "y"))
    assert len(sizes._known[model].by_shape) == 1
    for number in range(5000):
        sizes.size(model, fed(), (str(number),))
        sizes.note(model, fed(width=number + 1), (str(number),), gave(20))
    assert len(sizes._known[model].by_shape) <= 1024
    assert len(sizes._known[model].observed) <= 1024


def test_new_runs_wait_neither_for_large_ones_nor_for_their_memory():
    async def main():
        loop, model = asyncio.get_running_loop(), Model()
        settled, runs = SettledTasks(loop), RunMemory(1, 1, lambda processes: 2**30)
        run = {RunSize.SMALL: runs.run_small, RunSize.NEW: runs.run_small, RunSize.LARGE: runs.run}
        lanes = Lanes(lambda size: ThreadExecutor(1, settled, run[size], size.name), runs.sizes.size)

        def submit(value, *fetches):
            future = loop.create_future()
            lanes.submit(Task(model, fed(value), fetches, future))
            return future

        with runs._reserved(2**20, 1, lambda: None, alone=True):
            await submit(0.1, "unknown")
            large = submit(20, "much")
            await submit(0.1, "known")
            assert not large.done()
        await large
        await loop.run_in_executor(None, lanes.stop)
        assert model.threads == ["NEW_0", "SMALL_0", "LARGE_0"]

    asyncio.run(asyncio.wait_for(main(), 20))
