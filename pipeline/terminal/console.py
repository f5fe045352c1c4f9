"""What a run shows: one live line per step on a terminal, plain lines elsewhere, JSON Lines with `--json`.

Elsewhere a step that takes long says once a minute how far it is, so that no log is silent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from models.training.progress import format_duration
from pipeline.terminal import streams
from serving.tensorflow_noise import filtered
from tflite.host.json_text import to_json

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

    @property  # type: ignore[misc]  # rich's can be set; this one follows the terminal
    def size(self) -> ConsoleDimensions:
        """That of the terminal that is written to; rich asks standard output, which during a run is the log."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            width, height = os.get_terminal_size(self.file.fileno())
            if width and height:
                return ConsoleDimensions(width, height)
        return super().size


class View:
    """Shows the steps of a run as they go.

    Args:
        stream: where to write; colour and live updates only if it is a terminal.
        as_json: one JSON object a line instead of text.
        every: seconds after which a step in progress says how far it is, where there is no live line.
    """

    def __init__(self, stream: TextIO, as_json: bool = False, every: float = 60.0) -> None:
        self.console = Plain(stream)
        self.as_json = as_json
        self._is_live = stream.isatty() and not self.console.is_dumb_terminal and not as_json
        self._every = every
        self._live: Live | None = None
        self._step = ""
        self._note = ""
        self._begin = 0.0
        self._ended = threading.Event()

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
        if self._is_live:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self._line)
            self._live.start()
        else:
            self._ended = threading.Event()
            threading.Thread(target=self._beat, args=(self._ended,), name="progress", daemon=True).start()

    def progress(self, note: str) -> None:
        """How far the step in progress has come: parts with ", " between them, what matters most first.

        Shown at once on a terminal and in JSON, elsewhere once a minute.
        """
        self._note = note
        if self.as_json:
            self._json({"event": "progress", "step": self._step, "text": note})

    def ended(self, step: str, status: str, seconds: float) -> None:
        """A step ended: `status` is done, cached, skipped, interrupted or failed."""
        self._ended.set()
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

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """The block is a step: `started`, and `ended` however it ends."""
        begin, status = time.monotonic(), "failed"
        self.started(step)
        try:
            yield
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self.ended(step, status, time.monotonic() - begin)

    def say_ending(self) -> None:
        """Answers the first request to end the run; called from another thread."""
        self.say("ending in order; a second Ctrl-C ends at once")

    def abandon(self) -> None:
        """The last line before the process ends without more ado; a live line hides the cursor, and may be locked."""
        shown = "\x1b[?25h\n" if self._live is not None else ""
        with contextlib.suppress(OSError, ValueError):
            os.write(self.console.file.fileno(), f"{shown}transom: ended at once\n".encode())

    def _line(self) -> Text:
        return live_line(self._step, time.monotonic() - self._begin, self._note, self.console.width)

    def _beat(self, ended: threading.Event) -> None:
        step = self._step
        while not ended.wait(self._every):
            seconds = time.monotonic() - self._begin
            if self.as_json:
                self._json({"event": "progress", "step": step, "text": self._note, "seconds": round(seconds, 3)})
            else:
                note = f": {self._note}" if self._note else ""
                self.console.print(Text(f"    {step}, {format_duration(seconds)} so far{note}"))

    def _json(self, event: dict[str, Any]) -> None:
        print(to_json(event), file=self.console.file, flush=True)


def live_line(step: str, seconds: float, note: str, width: int) -> Text:
    """A step in progress in one line of at most `width` columns; of its note, the last parts are left out first."""
    columns, short = f"{step:<18}{seconds:8.1f} s   ", f"{step} {seconds:.0f} s   "
    parts = note.split(", ") if note else []
    for middle, count in ((columns, len(parts)), *((short, count) for count in range(len(parts), 0, -1))):
        shown = ", ".join(parts[:count])
        if cell_len(f"  … {middle}{shown}".rstrip()) <= width:
            return Text.assemble(("  … ", "yellow"), middle, shown)
    bare = Text(f"  … {short}".rstrip(), no_wrap=True)
    bare.truncate(width, overflow="ellipsis")
    return bare


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

    What is said to the user stands in the log too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = streams.outlasting(os.dup(1), plain=not as_json)
    saved = os.dup(1), os.dup(2)
    try:
        with spoken(View(terminal, as_json)) as view, contextlib.ExitStack() as stack:
            if not verbose:
                log_file.parent.mkdir(parents=True, exist_ok=True)
                log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.close(log)
                stack.enter_context(_written(log_file))
            yield view
    finally:
        for stream, descriptor, number in ((sys.stdout, saved[0], 1), (sys.stderr, saved[1], 2)):
            try:
                stream.flush()
            except OSError:  # the log's disk is full: that is what the terminal is to be told
                streams.drop_output(number)
                stream.flush()
            os.dup2(descriptor, number)
            os.close(descriptor)
        terminal.close()


@contextmanager
def spoken(view: View) -> Iterator[View]:
    """Shows what steps say to the user, through the loggers below "transom".

    "transom": lines that stay; "transom.figures": such lines that the run's record has by other ways;
    "transom.progress": how far the step in progress is.
    """
    speaker, reporter = logging.getLogger("transom"), logging.getLogger("transom.progress")
    says, progresses = _Lines(view.say), _Lines(view.progress)
    before = speaker.level, speaker.propagate, reporter.propagate
    speaker.setLevel(logging.INFO)
    speaker.propagate = reporter.propagate = False  # else the libraries' handlers would print a line again
    speaker.addHandler(says)
    reporter.addHandler(progresses)
    try:
        yield view
    finally:
        speaker.removeHandler(says)
        reporter.removeHandler(progresses)
        speaker.setLevel(before[0])
        speaker.propagate, reporter.propagate = before[1:]


@contextmanager
def _written(log_file: Path) -> Iterator[None]:
    handler, speaker = logging.FileHandler(log_file, encoding="utf-8"), logging.getLogger("transom")
    handler.setFormatter(logging.Formatter("%(asctime)s transom: %(message)s"))
    speaker.addHandler(handler)
    try:
        yield
    finally:
        speaker.removeHandler(handler)
        handler.close()


@contextmanager
def heard(take: Callable[[str], None]) -> Iterator[None]:
    """Hands on what is said to the user within the block, but for figures and progress."""
    handler, speaker = _Lines(take), logging.getLogger("transom")
    handler.addFilter(lambda record: record.name == speaker.name)
    speaker.addHandler(handler)
    try:
        yield
    finally:
        speaker.removeHandler(handler)
