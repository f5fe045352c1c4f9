"""Large runs begin only if there is memory for them."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
from echo_model import MIB, Model, free, rows
from tiny_servers import until

from serving.errors import Code, StatusError
from serving.server.run import process_memory
from serving.server.run.run_memory import FREE_ROWS, RunMemory


@pytest.fixture
def measured(monkeypatch):
    """Makes a run appear to take the memory that its model says."""

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


def test_a_run_without_enough_memory_is_refused_and_smaller_ones_run(measured):
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


def test_a_long_text_is_refused_if_its_tokens_would_not_fit(measured):
    model = Model()
    measured(model)
    with pytest.raises(StatusError, match="A run of 1 rows"):
        RunMemory(1, 1, free(1600)).run(model, {"x": np.array([b"a" * 20 * MIB], object)}, ("y",), lambda: None)
    assert model.shapes == []


def test_concurrent_runs_wait_for_memory_in_their_order(measured):
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


def test_an_abandoned_run_stops_waiting_for_memory(measured):
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


def test_batched_requests_run_in_parts_if_memory_is_short(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(1600))  # a share of 200 MiB: 133 rows
    runs.run(model, rows(600), ("y",), lambda: None)
    assert runs.max_batch_rows(model, rows(200), ("y",)) == 133
    assert runs.max_batch_rows(Model(), rows(200), ("y",)) == 64


def test_the_memory_of_a_run_is_measured_and_free_memory_is_known():
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


def test_a_large_run_is_allowed_if_memory_cannot_be_measured(monkeypatch):
    model = Model()
    monkeypatch.setattr(process_memory, "measured", lambda: contextlib.nullcontext(process_memory.Peak()))
    runs, patience = RunMemory(1, 1, free(16_000)), iter([None] * 100)
    for _ in range(2):
        assert len(runs.run(model, rows(5000), ("y",), lambda: next(patience))[0]) == 5000
    assert model.shapes == [FREE_ROWS, 5000, 5000]


def test_no_other_run_starts_during_a_measurement(measured):
    model = Model()
    measured(model)
    runs = RunMemory(1, 1, free(16_000))
    runs.run(model, rows(100), ("y",), lambda: None)  # learns
    slow = {"x": np.full((100, 2), 9, np.float32)}  # of another kind, not measured yet
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
