"""A run's output: a live line for each running step on a terminal, plain lines elsewhere, JSON Lines with `--json`.

Off the terminal, a long step reports its progress once a minute, so that the log keeps growing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from models.training.progress import format_duration
from pipeline.terminal import streams
from pipeline.terminal.live_line import live_line
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


class PlainConsole(Console):
    """A console that prints text unchanged ("[b]" and ":smile:" are not markup) and unwrapped."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Raises, because Rich would end the process with exit code 1 even if the command succeeded."""
        raise BrokenPipeError

    @property  # type: ignore[misc]  # rich's has a setter; this one follows the terminal
    def size(self) -> ConsoleDimensions:
        """The size of the terminal written to; rich uses standard output, which is the log during a run."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            width, height = os.get_terminal_size(self.file.fileno())
            if width and height:
                return ConsoleDimensions(width, height)
        return super().size


@dataclass
class _Running:
    """A step in progress: when it began, and what it said last about its progress."""

    begin: float
    note: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    beating: threading.Thread | None = None


class View:
    """Shows the steps of a run as they happen, also several at once; a `pipeline.runs.local.local_runner.StepListener`.

    Args:
        stream: the output; it gets colour and live updates only if it is a terminal.
        as_json: one JSON object a line instead of text.
        every: seconds between progress lines of a step, if there is no live line.
    """

    def __init__(self, stream: TextIO, as_json: bool = False, every: float = 60.0) -> None:
        self.console = PlainConsole(stream)
        self.as_json = as_json
        self._is_live = stream.isatty() and not self.console.is_dumb_terminal and not as_json
        self._every = every
        self._live: Live | None = None
        self._running: dict[str, _Running] = {}

    def say(self, text: str, step: str = "") -> None:
        """One line about a step (default: the one that began last), or about the run if no step is in progress."""
        step = step or self._last()
        if self.as_json:
            self._json({"event": "note", "step": step, "text": text})
        else:
            named = f"{step}: " if len(self._running) > 1 else ""
            self.console.print(Text(f"    {named}{text}" if step else text))

    def _last(self) -> str:
        return next(reversed(self._running), "")

    def started(self, step: str) -> None:
        running = _Running(time.monotonic())
        self._running = {**self._running, step: running}
        if self.as_json:
            self._json({"event": "started", "step": step})
        if self._is_live:
            if self._live is None:
                self._live = Live(
                    console=self.console,
                    refresh_per_second=4,
                    transient=True,
                    # What libraries print goes to the log, see `captured_output`.
                    redirect_stdout=False,
                    redirect_stderr=False,
                    get_renderable=self._lines,
                )
                self._live.start()
        else:
            running.beating = threading.Thread(target=self._beat, args=(step, running), name="progress", daemon=True)
            running.beating.start()

    def show(self, event: dict[str, Any]) -> None:
        """With `as_json`, a line of any content."""
        self._json(event)

    def progress(self, note: str, step: str = "", amounts: Mapping[str, Any] | None = None) -> None:
        """Reports the progress of a step (default: the one that began last).

        Shown at once on a terminal and in JSON, otherwise once a minute.

        Args:
            note: parts joined by ", ", the most important first.
            amounts: the same for programs: unit, done, total, per_second, seconds_left.
        """
        step = step or self._last()
        if step in self._running:
            self._running[step].note = note
        if self.as_json:
            self._json({"event": "progress", "step": step, "text": note, **(amounts or {})})

    def ended(self, step: str, status: str, seconds: float) -> None:
        running = self._running.get(step)
        if running is not None:
            running.ended.set()
            if running.beating is not None and running.beating.is_alive():
                running.beating.join(timeout=1.0)  # it may be writing, and the caller may close the stream next
        self._running = {name: one for name, one in self._running.items() if name != step}
        if self._live is not None and not self._running:
            self._live.stop()
            self._live = None
        if self.as_json:
            self._json({"event": "ended", "step": step, "status": status, "seconds": round(seconds, 3)})
            return
        mark, style = MARKS[status]
        took = f"{seconds:8.1f} s" if status not in _NOT_RUN else f"{status:>10}"
        self.console.print(Text.assemble((f"  {mark} ", style), f"{step:<18}", (took, "dim")))

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Reports the block as a step: `started`, and `ended` even if it raises."""
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
        """Acknowledges the first request to stop the run; called from another thread."""
        self.say("stopping cleanly; press Ctrl-C again to stop at once")

    def abandon(self) -> None:
        """Writes the last line before the process exits; restores the cursor without taking the console's lock."""
        shown = "\x1b[?25h\n" if self._live is not None else ""
        with contextlib.suppress(OSError, ValueError):
            os.write(self.console.file.fileno(), f"{shown}transom: stopped at once\n".encode())

    def _lines(self) -> Text:
        now, width = time.monotonic(), self.console.width
        lines = [live_line(step, now - one.begin, one.note, width) for step, one in self._running.items()]
        return Text("\n").join(lines)

    def _beat(self, step: str, running: _Running) -> None:
        while not running.ended.wait(self._every):
            seconds = time.monotonic() - running.begin
            if self.as_json:
                self._json({"event": "progress", "step": step, "text": running.note, "seconds": round(seconds, 3)})
            else:
                note = f": {running.note}" if running.note else ""
                self.console.print(Text(f"    {step}, {format_duration(seconds)} so far{note}"))

    def _json(self, event: dict[str, Any]) -> None:
        print(to_json(event), file=self.console.file, flush=True)


class _MessageHandler(logging.Handler):
    """Calls a function with the text of each log record, its step ("" if it has none), and its amounts, if any."""

    def __init__(self, handle_message: Callable[..., None]) -> None:
        super().__init__(logging.INFO)
        self._handle_message = handle_message

    def emit(self, record: logging.LogRecord) -> None:
        more = {"amounts": vars(record)["amounts"]} if "amounts" in vars(record) else {}
        self._handle_message(record.getMessage(), getattr(record, "step", ""), **more)


@contextmanager
def silence() -> Iterator[None]:
    """Hides the libraries' messages on standard error, C++ included, except for errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with filtered():
            yield
    finally:
        logging.disable(before)


@contextmanager
def captured_output(log_file: Path, as_json: bool, verbose: bool) -> Iterator[View]:
    """Yields the view of a run, and sends everything that libraries print, C++ included, to a log file.

    With `verbose` the libraries' output is left alone. The messages to the user go to the log, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = streams.open_resilient_output(os.dup(1), plain=not as_json)
    saved = os.dup(1), os.dup(2)
    try:
        with shown_messages(View(terminal, as_json)) as view, contextlib.ExitStack() as stack:
            if not verbose:
                log_file.parent.mkdir(parents=True, exist_ok=True)
                log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.close(log)
                handler = logging.FileHandler(log_file, encoding="utf-8")
                handler.setFormatter(logging.Formatter("%(asctime)s transom: %(message)s"))
                stack.enter_context(_attached(handler))
            yield view
    finally:
        for stream, descriptor, number in ((sys.stdout, saved[0], 1), (sys.stderr, saved[1], 2)):
            try:
                stream.flush()
            except OSError:  # the log's disk is full: the terminal must still get the error
                streams.drop_output(number)
                stream.flush()
            os.dup2(descriptor, number)
            os.close(descriptor)
        terminal.close()


@contextmanager
def shown_messages(view: View) -> Iterator[View]:
    """Shows the messages that steps log for the user below the logger "transom".

    "transom": permanent lines; "transom.figures": permanent lines whose content the run's record has already;
    "transom.progress": the progress of the current step.
    """
    messages_logger, progress_logger = logging.getLogger("transom"), logging.getLogger("transom.progress")
    before = messages_logger.level, messages_logger.propagate, progress_logger.propagate
    messages_logger.setLevel(logging.INFO)
    messages_logger.propagate = progress_logger.propagate = False  # or the libraries' handlers print it too
    try:
        with _attached(_MessageHandler(view.say)), _attached(_MessageHandler(view.progress), progress_logger):
            yield view
    finally:
        messages_logger.setLevel(before[0])
        messages_logger.propagate, progress_logger.propagate = before[1:]


@contextmanager
def _attached(handler: logging.Handler, logger: logging.Logger | None = None) -> Iterator[None]:
    """Gives the handler the records of a logger (default: the messages to the user) in the block, then closes it."""
    logger = logger or logging.getLogger("transom")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def forwarded_messages(handle_message: Callable[[str, str], None]) -> AbstractContextManager[None]:
    """Calls a function with each message to the user in the block, and its step, except for figures and progress."""
    handler = _MessageHandler(handle_message)
    handler.addFilter(lambda record: record.name == "transom")
    return _attached(handler)
