"""A run's output: a live line for each running step on a terminal, plain lines elsewhere, JSON Lines with `--json`.

Off the terminal, a long step reports its progress once a minute, so that the log keeps growing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from components.report.wording import visible
from models.training.progress import format_duration
from pipeline.terminal.live_line import live_line
from pipeline.terminal.wrapping import wrapped_for
from tflite.host.json_text import to_json

MARKS = {
    "done": ("✓", "green"),
    "cached": ("=", "cyan"),
    "skipped": ("-", "dim"),
    "failed": ("✗", "red"),
    "interrupted": ("✗", "yellow"),
}
_NOT_RUN = ("cached", "skipped")
_UNBOUNDED = 100_000  # columns


class PlainConsole(Console):
    """A console that prints text unchanged ("[b]" and ":smile:" are not markup) and unwrapped."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Raises, because Rich would end the process with exit code 1 even if the command succeeded."""
        raise BrokenPipeError

    @property  # type: ignore[misc]  # rich's has a setter; this one follows the terminal
    def size(self) -> ConsoleDimensions:
        """The size of the terminal written to; rich uses standard output, which is the log during a run.

        A file or a pipe has room for each row of a table in one line, unless the variable COLUMNS says otherwise.
        """
        with contextlib.suppress(OSError, ValueError, AttributeError):
            width, height = os.get_terminal_size(self.file.fileno())
            if width and height:
                return ConsoleDimensions(width, height)
        fallback = super().size
        bounded = self.is_terminal or os.environ.get("COLUMNS")
        return fallback if bounded else ConsoleDimensions(_UNBOUNDED, fallback.height)

    def say(self, text: str) -> None:
        """Prints sentences, without what would change the terminal; a terminal gets them wrapped between words."""
        self.print(Text(wrapped_for(self.file, visible(text))))


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
        verbose: tell the memory and the processor time of each step.
    """

    def __init__(self, stream: TextIO, as_json: bool = False, every: float = 60.0, *, verbose: bool = False) -> None:
        self.console = PlainConsole(stream)
        self.as_json, self._verbose = as_json, verbose
        self._is_live = stream.isatty() and not self.console.is_dumb_terminal and not as_json
        self._every = every
        self._live: Live | None = None
        self._running: dict[str, _Running] = {}
        self._planned: Sequence[str] = ()
        self._numbers: dict[str, int] = {}

    def plan(self, steps: Sequence[str]) -> None:
        """The steps to come, without those that are skipped: from now on each is shown as one of so many."""
        self._planned, self._numbers = steps, {}

    def _number(self, step: str) -> dict[str, int]:
        """Which of the planned steps it is, in the order in which they begin, and of how many; empty if it is none."""
        if step not in self._planned:
            return {}
        return {"number": self._numbers.setdefault(step, len(self._numbers) + 1), "steps": len(self._planned)}

    def _place(self, step: str) -> str:
        number = self._number(step)
        return f"{number['number']} of {number['steps']}" if number else ""

    def say(self, text: str, step: str = "") -> None:
        """One line about a step (default: the one that began last), or about the run if no step is in progress."""
        step = step or self._last()
        if self.as_json:
            self._json({"event": "note", "step": step, "text": text})
        else:
            named = f"{step}: " if len(self._running) > 1 else ""
            self.console.say(f"    {named}{text}" if step else text)

    def _last(self) -> str:
        return next(reversed(self._running), "")

    def started(self, step: str) -> None:
        running = _Running(time.monotonic())
        self._number(step)
        self._running = {**self._running, step: running}
        if self.as_json:
            self._json({"event": "started", "step": step, **self._number(step)})
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

    def show_above(self, text: str) -> bool:
        """Prints lines above the live line; returns False if there can be none, and prints nothing."""
        if self._is_live:
            self.console.print(Text(text))
        return self._is_live

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

    def ended(self, step: str, status: str, seconds: float, used: Mapping[str, float] | None = None) -> None:
        """A step ended.

        Args:
            used: `peak_memory_bytes` and `cpu_seconds` of its process, if it had one.
        """
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
            event = {"event": "ended", "step": step, "status": status, "seconds": round(seconds, 3)}
            self._json({**event, **self._number(step), **(used or {})})
            return
        mark, style = MARKS[status]
        took = f"{seconds:8.1f} s" if status not in _NOT_RUN else f"{status:>10}"
        if used and self._verbose:
            took += f"   {used['peak_memory_bytes'] / 1e6:6,.0f} MB at most, {used['cpu_seconds']:,.1f} s of CPU"
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
        running = self._running.items()
        lines = [live_line(step, now - one.begin, one.note, width, self._place(step)) for step, one in running]
        return Text("\n").join(lines)

    def _beat(self, step: str, running: _Running) -> None:
        while not running.ended.wait(self._every):
            seconds = time.monotonic() - running.begin
            if self.as_json:
                self._json({"event": "progress", "step": step, "text": running.note, "seconds": round(seconds, 3)})
            else:
                note = f": {running.note}" if running.note else ""
                place = f" ({self._place(step)})" if self._place(step) else ""
                self.console.print(Text(f"    {step}{place}, {format_duration(seconds)} so far{note}"))

    def _json(self, event: dict[str, Any]) -> None:
        print(to_json(event), file=self.console.file, flush=True)
