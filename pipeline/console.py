"""What a run shows: one live line per step on a terminal, plain lines elsewhere, JSON Lines with `--json`."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline import streams
from serving.noise import filtered

MARKS = {
    "done": ("✓", "green"),
    "cached": ("=", "cyan"),
    "skipped": ("-", "dim"),
    "failed": ("✗", "red"),
    "interrupted": ("✗", "yellow"),
}
_NOT_RUN = ("cached", "skipped")


class Plain(Console):
    """A console that prints what is the user's as it is ("[b]" and ":smile:" are no commands), and unwrapped."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Rich would end the process with exit code 1 here, whatever came of the command."""
        raise BrokenPipeError


class View:
    """Shows the steps of a run as they go.

    Args:
        stream: where to write; colour and live updates only if it is a terminal.
        as_json: one JSON object a line instead of text.
    """

    def __init__(self, stream: TextIO, as_json: bool = False) -> None:
        self.console = Plain(stream)
        self.as_json = as_json
        self._live: Live | None = None
        self._step = ""
        self._note = ""
        self._begin = 0.0

    def say(self, text: str) -> None:
        """One line about the run as a whole or the step in progress."""
        if self.as_json:
            self._json({"event": "note", "step": self._step, "text": text})
        else:
            self.console.print(Text(f"    {text}" if self._step else text))

    def started(self, step: str) -> None:
        """A step begins."""
        self._step, self._note, self._begin = step, "", time.monotonic()
        if self.as_json:
            self._json({"event": "started", "step": step})
        elif self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self._line)
            self._live.start()

    def progress(self, note: str) -> None:
        """How far the step in progress has come; shown on a terminal only, and in JSON."""
        self._note = note
        if self.as_json:
            self._json({"event": "progress", "step": self._step, "text": note})

    def ended(self, step: str, status: str, seconds: float) -> None:
        """A step ended: `status` is done, cached, skipped, interrupted or failed."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._step = ""
        if self.as_json:
            self._json({"event": "ended", "step": step, "status": status, "seconds": round(seconds, 3)})
            return
        mark, style = MARKS[status]
        took = f"{seconds:8.1f} s" if status not in _NOT_RUN else f"{status:>10}"
        self.console.print(Text.assemble((f"  {mark} ", style), f"{step:<18}", (took, "dim")))

    def _line(self) -> Text:
        took = f"{time.monotonic() - self._begin:8.1f} s"
        return Text.assemble(("  … ", "yellow"), f"{self._step:<18}", (took, "dim"), f"   {self._note}")

    def _json(self, event: dict[str, Any]) -> None:
        print(json.dumps(event, ensure_ascii=False), file=self.console.file, flush=True)


class _Lines(logging.Handler):
    """Hands each log record's text to a function."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.getMessage())


@contextmanager
def silence() -> Iterator[None]:
    """No talk of the libraries on standard error, from C++ either; what is a fault there still comes through."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with filtered():
            yield
    finally:
        logging.disable(before)


@contextmanager
def captured(log_file: Path, as_json: bool, verbose: bool) -> Iterator[View]:
    """A view of a run, while all that libraries print, from C++ too, goes to a log file (with `verbose`: nowhere).

    Loggers below "transom" speak to the user: "transom" in lines that stay, "transom.progress" in the live line.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = streams.outlasting(os.dup(1), plain=not as_json)
    view = View(terminal, as_json)
    says, progresses = _Lines(view.say), _Lines(view.progress)
    speaker, reporter = logging.getLogger("transom"), logging.getLogger("transom.progress")
    speaker.setLevel(logging.INFO)
    reporter.propagate = False
    speaker.propagate = not verbose  # else a line would appear twice
    speaker.addHandler(says)
    reporter.addHandler(progresses)
    saved = os.dup(1), os.dup(2)
    try:
        if not verbose:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
        yield view
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, number in zip(saved, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        speaker.removeHandler(says)
        reporter.removeHandler(progresses)
        terminal.close()
