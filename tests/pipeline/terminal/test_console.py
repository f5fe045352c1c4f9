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
import sys
import termios
import time

import pytest

from pipeline.terminal.console import PlainConsole, View
from pipeline.terminal.streams import open_resilient_output
from pipeline.terminal.user_messages import shown_messages

NOTE = "epoch 2/4, step 412/1000, 3 min 05 s left, 1936 tokens/s, loss 0.4321"


def _terminal(columns: int) -> tuple[int, io.TextIOWrapper]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, open_resilient_output(theirs, plain=True)


def test_a_terminal_that_does_not_know_its_size_is_as_wide_as_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reader, stream = _terminal(0)
    with stream:
        assert PlainConsole(stream).width == 80
    os.close(reader)


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


def test_a_step_is_one_of_those_that_are_planned() -> None:
    stream = io.StringIO()
    view = View(stream, as_json=True)
    view.ended("ExampleGen", "skipped", 0.0)
    view.plan(["Transform", "Trainer"])
    for step in ("Trainer", "Transform"):  # they begin in any order
        view.started(step)
    view.ended("Transform", "cached", 0.0)
    view.ended("Trainer", "done", 1.0, {"peak_memory_bytes": 5, "cpu_seconds": 0.5})
    skipped, *events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "number" not in skipped
    assert [(one["step"], one["number"], one["steps"]) for one in events] == [
        ("Trainer", 1, 2),
        ("Transform", 2, 2),
        ("Transform", 2, 2),
        ("Trainer", 1, 2),
    ]
    assert (events[-1]["peak_memory_bytes"], events[-1]["cpu_seconds"]) == (5, 0.5)


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_step_took_is_told_with_verbose(verbose: bool) -> None:
    stream = io.StringIO()
    View(stream, verbose=verbose).ended("Trainer", "done", 2.0, {"peak_memory_bytes": 1.5e9, "cpu_seconds": 3.25})
    assert ("1,500 MB at most, 3.2 s of CPU" in stream.getvalue()) == verbose
    assert "Trainer                2.0 s" in stream.getvalue()
