"""The log of a run: everything that libraries print, C++ included, and the messages to the user."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.terminal import streams
from pipeline.terminal.console import View
from pipeline.terminal.user_messages import attached, log_handler, shown_messages

_EVERY = 0.2  # seconds
_MOST = 1 << 20  # bytes read at once
_MESSAGE = re.compile(r"(\w+: )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} transom: ")


@contextmanager
def captured_output(log_file: Path, as_json: bool, verbose: bool) -> Iterator[View]:
    """Yields the view of a run, and sends everything that libraries print, C++ included, to a log file.

    With `verbose` the terminal shows it, too: above the live line, or on standard error. The messages to the user go
    to the log as well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = streams.open_resilient_output(os.dup(1), plain=not as_json)
    saved = os.dup(1), os.dup(2)
    try:
        with shown_messages(View(terminal, as_json, verbose=verbose)) as view, contextlib.ExitStack() as stack:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            if verbose:
                stack.enter_context(_followed(log_file, view, saved[1]))
            stack.enter_context(attached(log_handler()))
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
def _followed(log_file: Path, view: View, stderr: int) -> Iterator[None]:
    """Shows what the block adds to a log, from a thread, because libraries also print while they compute."""
    ended = threading.Event()
    with log_file.open("rb") as log:
        if log.seekable():
            log.seek(0, io.SEEK_END)
        thread = threading.Thread(target=_follow, args=(log, view, stderr, ended), name="log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # `captured_output` handles a full disk
                sys.stdout.flush()
                sys.stderr.flush()
            ended.set()
            thread.join()


def _follow(log: io.BufferedReader, view: View, stderr: int, ended: threading.Event) -> None:
    to_terminal, rest, last = os.isatty(stderr), b"", False
    while not last:
        last = ended.wait(_EVERY)
        while added := log.read(_MOST):
            whole, newline, rest = (rest + added).rpartition(b"\n")
            _show(whole + newline, view, stderr, to_terminal)
    _show(rest, view, stderr, to_terminal)


def _show(lines: bytes, view: View, stderr: int, to_terminal: bool) -> None:
    """Shows lines of the log, without the messages to the user, which the view has shown."""
    texts = lines.decode("utf-8", "replace").splitlines()
    text = "\n".join(line for line in texts if not _MESSAGE.match(line))
    if not text or (to_terminal and view.show_above(text)):
        return
    with contextlib.suppress(OSError):  # its reader has exited
        os.write(stderr, f"{text}\n".encode())
