"""A log for each step: everything that its process writes. No TensorFlow, no TFX.

The process writes to the file itself, so that the log is complete however the process or the run ends. The process that
runs the steps copies it to its own standard error, which is the run's log: in whole lines that begin with the step's
name, because steps that run side by side take turns there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST = 1 << 20  # bytes copied at once


class StepLog:
    """The log of one step of a run.

    Args:
        file: is created, with its folder, when the step begins to write.
    """

    def __init__(self, step: str, file: Path) -> None:
        self._step, self._file = step, file
        self._copied = 0
        self._rest = b""

    def redirect(self) -> bool:
        """Sends this process's output to the file from now on; returns False if it cannot be written."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:  # the disk is full, for example: the step itself will tell
            return False
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        return True

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Sends this process's output to the file in the block, for a step that has no process of its own."""
        _flush()
        saved = os.dup(1), os.dup(2)
        try:
            self.redirect()
            yield
        finally:
            _flush()
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            self.copy(to_end=True)

    def add(self, line: str) -> None:
        """Adds a line about the process, which has ended."""
        with contextlib.suppress(OSError), self._file.open("ab+") as log:
            log.seek(max(0, log.tell() - 1))
            log.write(("" if log.read(1) in (b"", b"\n") else "\n").encode() + f"{line}\n".encode())

    def copy(self, *, to_end: bool = False) -> None:
        """Copies to standard error what has been added in whole lines, at most 1 MiB; with `to_end` everything."""
        with contextlib.suppress(OSError), self._file.open("rb") as log:
            log.seek(self._copied)
            while added := log.read(_MOST):
                self._copied += len(added)
                lines, newline, self._rest = (self._rest + added).rpartition(b"\n")
                if len(self._rest) > _MOST:  # a progress bar, for example
                    lines, newline, self._rest = lines + newline + self._rest, b"\n", b""
                self._write(lines + newline)
                if not to_end:
                    return
            if to_end:
                self._write(self._rest + b"\n" if self._rest else b"")
                self._rest = b""

    def _write(self, lines: bytes) -> None:
        start = f"{self._step}: ".encode()
        text = b"".join(start + line for line in lines.splitlines(keepends=True))
        while text:
            text = text[os.write(2, text) :]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
