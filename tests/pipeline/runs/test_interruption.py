from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest

from models.errors import Interrupted
from pipeline.runs.interruption import explain_interruption, interruptible, is_interruption
from pipeline.runs.run_records import StepRecord


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_termination_is_an_interruption(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


# The main thread catches the first request, like a step whose clean-up hangs; or it runs no Python code at all, like
# TensorFlow while it compiles: here, it waits for a lock that it holds itself, which no signal interrupts.
_BUSY = {
    "cleaning up": "time.sleep(60)",
    "outside Python": "libc.pthread_mutex_lock(mutex)",
}
_PROGRAM = """
import contextlib, ctypes, os, sys, time
from pipeline.runs.interruption import interruptible
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
libc.pthread_mutex_lock(mutex)
with interruptible() as interruption:
    interruption.on_first = lambda: os.write(1, b"first\\n") and 1 / 0  # its error does not matter
    interruption.on_second = lambda: os.write(1, b"second\\n")
    try:
        os.write(1, b"ready\\n")
        {busy}
    finally:
        {busy}
"""


@pytest.mark.parametrize("busy", _BUSY)
def test_a_second_request_ends_at_once(repository: Path, busy: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(busy=_BUSY[busy])],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # the same request, forwarded by a parent: not a second one
    assert process.stdout.readline() == b"first\n"
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"second\n"
    assert process.wait(5) == 130


def test_an_interruption_amid_beams_rows_is_one() -> None:
    def interrupted(row: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(RuntimeError, match="while running") as caught, beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create([1, 2]) | "Step" >> beam.Map(interrupted)
    assert is_interruption(caught.value)
    assert is_interruption(Interrupted("training"))
    assert not is_interruption(RuntimeError("no room"))


def test_an_interruption_says_what_is_kept_lost_and_next() -> None:
    steps = [
        StepRecord("ExampleGen", "done"),
        StepRecord("DataGate", "cached"),
        StepRecord("Transform", "interrupted", 75.0),
    ]
    assert explain_interruption(KeyboardInterrupt(), steps).render() == (
        "interrupted in Transform, after 1 min 15 s\n"
        "  kept: the results of 2 steps\n"
        "  lost: 1 min 15 s of Transform\n"
        "  next: run it again: Transform starts from its beginning"
    )
    stopped = Interrupted(
        "training, after step 412 of 4000",
        kept="a checkpoint of step 400, in out/checkpoints/a",
        lost="the last 12 steps, 9 s of training",
        then="with the same settings, data and code training continues at step 401",
    )
    assert explain_interruption(
        stopped, [StepRecord("ExampleGen", "done"), StepRecord("Trainer", "interrupted", 75.0)]
    ).render() == (
        "interrupted in Trainer: training, after step 412 of 4000\n"
        "  kept: the results of 1 step; a checkpoint of step 400, in out/checkpoints/a\n"
        "  lost: the last 12 steps, 9 s of training\n"
        "  next: run it again: with the same settings, data and code training continues at step 401"
    )
    assert "between two steps" in explain_interruption(KeyboardInterrupt(), [StepRecord("ExampleGen", "done")]).what
    assert "before the first step" in explain_interruption(KeyboardInterrupt(), []).what
