"""Prints findings: a compact table by subject, or JSON Lines (standard library only: packages may be missing)."""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import Any, TextIO

from pipeline.doctor.finding import STATUSES, Finding, Project, Status
from tflite.host.json_text import to_json

_MARKS: dict[Status, tuple[str, str, str]] = {
    "ok": ("✓", "+", "32"),
    "note": ("·", "-", "36"),
    "warn": ("!", "!", "33"),
    "error": ("✗", "x", "31"),
}
_NAMES: dict[Status, tuple[str, str]] = {
    "error": ("error", "errors"),
    "warn": ("warning", "warnings"),
    "note": ("note", "notes"),
    "ok": ("ok", "ok"),
}
_CHECK_WIDTH = 16
_INDENT = " " * (4 + _CHECK_WIDTH + 1)
_WIDEST, _NARROWEST = 110, 50
_CLEAR = "\r\x1b[2K"


class Report:
    """Prints each finding as it comes; on a terminal also what it is waiting for."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream, self._as_json = stream, as_json
        self._is_live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not as_json
        self._has_colour = self._is_live and not os.environ.get("NO_COLOR")
        self._is_plain = not _can_encode("✓·✗…", stream)
        self._counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
        self._last = ("", "")
        self._is_waiting = False

    def waiting(self, what: str) -> None:
        """Shows on a terminal what is being examined, until something is printed."""
        if self._is_live:
            line = f"  … {_printable(what)}"[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"{_CLEAR}{line}")
            self._stream.flush()
            self._is_waiting = True

    def clear(self) -> None:
        if self._is_waiting:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._is_waiting = False

    def show(self, group: str, finding: Finding) -> None:
        self._counts[finding.status] += 1
        if self._as_json:
            self._print(to_json({"group": group, **vars(finding)}))
            return
        self.clear()
        if group != self._last[0]:
            self._print(("\n" if self._last[0] else "") + self._coloured(group, "1"))
        name = finding.check if (group, finding.check) != self._last else ""
        self._last = (group, finding.check)
        mark, plain, colour = _MARKS[finding.status]
        head = f"  {self._coloured(plain if self._is_plain else mark, colour)} {name:<{_CHECK_WIDTH}} "
        self._print(head + self._wrapped(finding.text))
        if finding.remedy:
            label = "to fix: " if finding.status in ("warn", "error") else ""
            self._print(_INDENT + self._wrapped(label + finding.remedy))

    def exit_code(self, *, strict: bool) -> int:
        return int(self._counts["error"] > 0 or (strict and self._counts["warn"] > 0))

    def summarize(self, project: Project | None, code: int, seconds: float) -> None:
        if self._as_json:
            from pipeline.doctor.locked_packages import installed

            file = None if project is None else str(project.file.absolute())
            summary: dict[str, Any] = {**self._counts, "exit_code": code, "seconds": round(seconds, 3), "project": file}
            self._print(to_json({"summary": summary, "transom": installed().get("transom")}))
            return
        counts = [(self._counts[status], names) for status, names in _NAMES.items() if self._counts[status]]
        shown = ", ".join(f"{count} {names[count != 1]}" for count, names in counts)
        self._print(f"\n{shown}; {seconds:.0f} s")

    def _wrapped(self, text: str) -> str:
        """The text in lines that begin below each other; long words, such as paths, stay whole."""
        width = max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST)) - len(_INDENT)
        lines: list[str] = []
        for line in _printable(text).split("\n"):
            lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
        return f"\n{_INDENT}".join(lines)

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._has_colour else text

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _printable(text: str) -> str:
    """The text without characters that would change the terminal: a configuration may hold any."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def _can_encode(text: str, stream: TextIO) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True
