"""The log of a step: complete, whatever its process does, and copied in whole lines to the run's log."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import TransomError
from pipeline.runs.local.step_logs import StepLog
from pipeline.runs.local.step_processes import StepProcess
from pipeline.terminal.run_log import captured_output

forked = pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux only")
LOG = logging.getLogger("transom")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "Trainer.txt"


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as log:
        log.write(content)


def _use_descriptors() -> None:
    """Of the forked process: its own streams are pytest's."""
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)


def _finish(process: StepProcess) -> None:
    while process.receive():
        pass
    process.result()


def test_lines_are_copied_once_they_are_whole(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = StepLog("Trainer", file)
    log.copy()  # there is no file yet
    _write(file, b"one\ntw")
    log.copy()
    assert capfd.readouterr().err == "Trainer: one\n"
    _write(file, b"o\n\nlast")
    log.copy()
    assert capfd.readouterr().err == "Trainer: two\nTrainer: \n"
    log.copy(to_end=True)
    log.copy(to_end=True)
    assert capfd.readouterr().err == "Trainer: last\n"


def test_much_output_is_copied_as_it_is(file: Path, tmp_path: Path) -> None:
    lines = b"".join(b"%d %s\n" % (number, bytes(range(128, 256))) for number in range(30_000))
    _write(file, lines + b"x" * 3_000_000)
    log, target = StepLog("Trainer", file), tmp_path / "log.txt"
    with captured_output(target, as_json=False, verbose=False):
        log.copy()
        first = target.stat().st_size
        log.copy(to_end=True)
    assert 0 < first < 2 << 20
    copied = target.read_bytes()
    assert copied.startswith(b"Trainer: 0 ")
    assert copied.replace(b"Trainer: ", b"").replace(b"\n", b"") == lines.replace(b"\n", b"") + b"x" * 3_000_000


@forked
def test_everything_that_the_process_writes_is_in_its_log_and_in_the_runs(file: Path, tmp_path: Path) -> None:
    def function() -> bytes:
        _use_descriptors()
        sys.stdout.write("from Python\n")
        os.write(2, b"from C\n")
        os.system("echo from a child")
        LOG.info("a message é")
        logging.getLogger("transom.progress").info("step 3")
        return b""

    target = tmp_path / "log.txt"
    with captured_output(target, as_json=False, verbose=False):
        _finish(StepProcess.start("Trainer", function, StepLog("Trainer", file)))
        LOG.info("the run's own")
    written, copied = file.read_text(encoding="utf-8"), target.read_text(encoding="utf-8")
    for words in ("from Python", "from C", "from a child", "a message é", "s of CPU"):
        assert written.count(words) == copied.count(words) == 1
    assert "step 3" not in written
    assert "the run's own" not in written
    assert "the run's own" in copied
    assert all(line.startswith("Trainer: ") for line in copied.splitlines()[:-1])


@forked
@pytest.mark.parametrize("end", ["raise", "kill"])
def test_a_process_that_fails_leaves_its_last_words(file: Path, end: str, capfd: pytest.CaptureFixture[str]) -> None:
    def function() -> bytes:
        _use_descriptors()
        os.write(1, b"last words")
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ZeroDivisionError("of ours")

    with pytest.raises((ZeroDivisionError, TransomError)):
        _finish(StepProcess.start("Trainer", function, StepLog("Trainer", file)))
    log = file.read_text()
    assert log.startswith("last words\n" if end == "kill" else "last wordsTraceback")
    assert log.splitlines()[-1].endswith("s of CPU")
    assert ("Traceback" in log) == (end == "raise")
    assert "Trainer: last words" in capfd.readouterr().err


@forked
def test_what_is_written_is_there_before_the_process_ends(file: Path) -> None:
    def function() -> bytes:
        os.write(1, b"begun\n")
        LOG.warning("begun")
        time.sleep(60)
        return b""

    process = StepProcess.start("Trainer", function, StepLog("Trainer", file))
    assert process.receive()
    assert file.read_text().count("begun") == 2
    process.interrupt()
    with pytest.raises(KeyboardInterrupt):
        _finish(process)


@forked
def test_a_log_that_cannot_be_written_ends_no_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    process = StepProcess.start("Trainer", _printing("heard"), StepLog("Trainer", tmp_path / "logs" / "Trainer.txt"))
    _finish(process)
    assert "heard" in capfd.readouterr().out
    assert process.used["cpu_seconds"] >= 0.0
    assert process.used["peak_memory_bytes"] > 2**20


def _printing(text: str) -> Callable[[], bytes]:
    def function() -> bytes:
        os.write(1, text.encode())
        return b""

    return function


def test_a_step_of_this_process_has_a_log_too(file: Path, tmp_path: Path) -> None:
    log, target = StepLog("Trainer", file), tmp_path / "log.txt"
    with captured_output(target, as_json=False, verbose=False):
        os.write(2, b"before\n")
        with contextlib.suppress(ZeroDivisionError), log.capturing():
            os.write(2, b"within\n")
            LOG.info("a message")
            raise ZeroDivisionError
        os.write(2, b"after\n")
    assert [line.rpartition(" ")[2] for line in file.read_text().splitlines()] == ["within", "message"]
    lines = target.read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("before", "Trainer: within", "after")
    assert len(lines) == 4
