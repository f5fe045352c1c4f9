from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pipeline.terminal.console import View, captured_output, forwarded_messages, shown_messages
from pipeline.terminal.streams import open_resilient_output

NOTE = "epoch 2/4, step 412/1000, 3 min 05 s left, 1936 tokens/s, loss 0.4321"


def _terminal(columns: int) -> tuple[int, io.TextIOWrapper]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, open_resilient_output(theirs, plain=True)


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_the_line_is_as_wide_as_its_own_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, stream = _terminal(columns)
    with stream:
        view = View(stream)
        view.started("Trainer")
        view.progress(NOTE)
        output = ""
        while "step 412/1000" not in output:
            output += os.read(ours, 65536).decode(errors="replace")
        assert view.console.width == columns
        view.ended("Trainer", "done", 1.0)
    assert ("loss 0.4321" in output) == (columns == 132)


def test_what_is_printed_meanwhile_stays_out_of_the_live_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the log: rich's own way is to print it above the lines, also from a step's forked process."""
    monkeypatch.setenv("TERM", "xterm")
    _, stream = _terminal(80)
    before = sys.stdout, sys.stderr
    with stream:
        view = View(stream)
        view.started("Trainer")
        meanwhile = sys.stdout, sys.stderr
        view.ended("Trainer", "done", 1.0)
    assert meanwhile == before


def test_programs_get_the_amounts_of_a_progress_as_numbers() -> None:
    stream = io.StringIO()
    with shown_messages(View(stream, as_json=True)) as view:
        view.started("Transform")
        amounts = {"unit": "rows", "done": 5, "total": 10}
        logging.getLogger("transom.progress").info("5 of 10 rows", extra={"step": "Transform", "amounts": amounts})
        view.ended("Transform", "done", 1.0)
    _, progress, _ = map(json.loads, stream.getvalue().splitlines())
    assert progress == {"event": "progress", "step": "Transform", "text": "5 of 10 rows", **amounts}


def test_a_long_step_is_never_silent_outside_a_terminal() -> None:
    stream = io.StringIO()
    view = View(stream, every=0.05)
    view.started("Transform")
    time.sleep(0.2)
    view.progress(NOTE)
    time.sleep(0.2)
    view.ended("Transform", "done", 0.3)
    output = stream.getvalue().splitlines()
    time.sleep(0.15)
    assert stream.getvalue().splitlines() == output, "a step that has ended still tells"
    assert re.fullmatch(r"    Transform, \d s so far", output[0])
    assert re.fullmatch(rf"    Transform, \d s so far: {re.escape(NOTE)}", output[-2])


def test_json_tells_of_a_long_step_too() -> None:
    stream = io.StringIO()
    view = View(stream, as_json=True, every=0.05)
    view.started("Transform")
    time.sleep(0.2)
    view.ended("Transform", "done", 0.2)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[1]["event"] == "progress"
    assert events[1]["step"] == "Transform"
    assert events[1]["seconds"] > 0


@pytest.mark.parametrize(
    ("error", "status"), [(None, "done"), (ValueError(), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_step_ends_however_it_ends(error: BaseException | None, status: str) -> None:
    stream = io.StringIO()
    view = View(stream, as_json=True)
    with contextlib.suppress(ValueError, KeyboardInterrupt), view.step("Trainer"):
        if error is not None:
            raise error
    assert json.loads(stream.getvalue().splitlines()[-1])["status"] == status


def test_a_closed_terminal_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, stream = _terminal(80)
    view = View(stream)
    view.started("Trainer")
    os.close(ours)
    with pytest.raises(OSError, match="Input/output"):
        os.write(stream.fileno(), b"nobody reads this")
    view.say("training continues")
    view.ended("Trainer", "done", 1.0)


def test_what_is_said_stands_in_the_log_and_is_heard(tmp_path: Path) -> None:
    notes: list[str] = []
    heard = forwarded_messages(lambda text, step: notes.append(text))
    with captured_output(tmp_path / "log.txt", as_json=False, verbose=False), heard:
        logging.getLogger("transom").info("training continues after step %d", 5)
        logging.getLogger("transom.figures").info("epoch 1/2: eval accuracy 0.5")
        logging.getLogger("transom.progress").info("step 7/9")
    logging.getLogger("transom").info("nobody hears this")
    assert notes == ["training continues after step 5"]
    log = (tmp_path / "log.txt").read_text()
    assert "training continues after step 5" in log
    assert "epoch 1/2" in log
    assert "step 7/9" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's device that is always full")
def test_a_log_that_finds_no_room_leaves_the_terminal_as_it_was(repository: Path) -> None:
    program = """
import sys
from pathlib import Path
from pipeline.terminal.console import captured_output
with captured_output(Path("/dev/full"), False, False):
    sys.stdout.write("a library's words")
print("printed")
print("on stderr", file=sys.stderr)
"""
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=repository, env=buffered, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"printed\n", b"on stderr\n")
