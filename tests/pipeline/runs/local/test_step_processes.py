"""A function in a process of its own: its result, its messages, its exception, and its end by a signal."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from models.errors import DataError, Interrupted, TransomError
from pipeline.runs.local.step_processes import StepCrashError, StepProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux only")
LOG = logging.getLogger("transom")


def finish(process: StepProcess) -> bytes:
    while process.receive():
        pass
    return process.result()


def compute(function: Callable[[], bytes]) -> bytes:
    return finish(StepProcess.start("Trainer", function))


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.lock = threading.Lock()


def raising(error: BaseException) -> Callable[[], bytes]:
    def function() -> bytes:
        raise error

    return function


def test_the_result_of_another_process() -> None:
    assert int(compute(lambda: str(os.getpid()).encode())) != os.getpid()
    assert compute(lambda: b"x" * 10_000_000) == b"x" * 10_000_000


def test_messages_arrive_with_their_step(caplog: pytest.LogCaptureFixture) -> None:
    def function() -> bytes:
        LOG.info("training begins")
        logging.getLogger("transom.progress").info("step %d", 3, extra={"amounts": {"done": 3}})
        return b""

    logging.getLogger("transom").addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "transom")
    compute(function)
    logging.getLogger("transom").removeHandler(caplog.handler)
    heard = [(record.name, record.getMessage(), record.step) for record in caplog.records if hasattr(record, "step")]
    assert ("transom", "training begins", "Trainer") in heard
    assert ("transom.progress", "step 3", "Trainer") in heard
    assert {"done": 3} in [vars(record).get("amounts") for record in caplog.records]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (DataError("row 3", got="x", expected="y", fix="z"), DataError, "to fix: z"),
        (ValueError("wrong"), ValueError, "wrong"),
        (UnpicklableError(), StepCrashError, "UnpicklableError: cannot travel"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_an_exception_travels(error: BaseException, kind: type[BaseException], text: str) -> None:
    with pytest.raises(kind) as caught:
        compute(raising(error))
    assert text in str(caught.value)


def test_an_interruption_keeps_what_it_tells() -> None:
    with pytest.raises(Interrupted) as caught:
        compute(raising(Interrupted("training", kept="a checkpoint", lost="2 s", then="it goes on")))
    assert (caught.value.what, caught.value.kept, caught.value.then) == ("training", "a checkpoint", "it goes on")


def test_a_full_disk_stays_one_whatever_reports_it() -> None:
    with pytest.raises(OSError, match="No space") as caught:
        compute(raising(RuntimeError("write failed: No space left on device")))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(("number", "text"), [(signal.SIGKILL, "memory runs out"), (signal.SIGSEGV, "SIGSEGV")])
def test_a_process_that_dies_is_an_error_with_the_signal(number: signal.Signals, text: str) -> None:
    def function() -> bytes:
        os.kill(os.getpid(), number)
        return b""

    with pytest.raises(TransomError, match="Trainer: its process was killed") as caught:
        compute(function)
    assert text in str(caught.value)


def test_a_request_to_stop_reaches_the_process() -> None:
    def function() -> bytes:
        try:
            LOG.warning("running")
            time.sleep(60)
        except KeyboardInterrupt:
            raise Interrupted("asleep", kept="nothing") from None
        return b""

    process = StepProcess.start("Trainer", function)
    assert process.receive()
    process.interrupt()
    with pytest.raises(Interrupted, match="asleep"):
        finish(process)


def test_exit_handlers_and_buffers_are_left_to_this_process(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("once")
    compute(lambda: b"")
    sys.stdout.flush()
    assert capfd.readouterr().out.count("once") == 1
