"""Standard output and standard error in any state: any encoding, closed early, or on a full disk."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import IO

from pipeline.terminal.wrapping import wrapped_for

ESCAPE, PLAIN = "transom.escape", "transom.plain"
_PLAIN = {"…": "...", "✓": "+", "✗": "x", "×": "x", "≥": ">=", "≤": "<=", "–": "-", "’": "'", "“": '"', "”": '"'}


def set_up() -> None:
    """Escapes characters that a stream cannot encode, so that printing a user's text never ends the command.

    Standard output gets JSON's escapes, so that JSON stays valid; standard error gets plain substitutes.
    """
    _open_closed()
    codecs.register_error(ESCAPE, _escape)
    codecs.register_error(PLAIN, _plain)
    for stream, handler in ((sys.stdout, ESCAPE), (sys.stderr, PLAIN)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=handler)


def _open_closed() -> None:
    """Opens the standard streams that the process was started without (`>&-`) on the null device.

    Otherwise the next file that it opens, such as the project's lock, would get one of their numbers.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null_device = os.open(os.devnull, os.O_RDWR)
            if null_device != number:
                os.dup2(null_device, number)
                os.close(null_device)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def flush() -> None:
    """Flushes standard output while an error can still be reported.

    Raises:
        BrokenPipeError: the reader, such as `head`, has exited.
        OSError: the output cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()  # otherwise Python fails again as it exits
        raise


def drop_output(number: int = 1) -> None:
    """Discards all further output on standard output (or standard error: 2)."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, number)
    os.close(null_device)


def print_message(text: str, *, wrap: bool = True) -> None:
    """Prints a message on standard error, after the output so far. If it cannot be printed, it is dropped.

    Args:
        wrap: on a terminal, end its lines between words.
    """
    with contextlib.suppress(OSError):
        flush()
    try:
        print(wrapped_for(sys.stderr, text) if wrap else text, file=sys.stderr, flush=True)
    except OSError:
        drop_output(2)


class ResilientFile(io.FileIO):
    """A file that drops output once its reader has exited or its terminal has closed.

    Otherwise `head` could end a run of hours.
    """

    def write(self, content: bytes, /) -> int:  # type: ignore[override]  # typeshed: Buffer
        """Writes the content, or drops it if there is no reader."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            return len(content)


def open_resilient_output(descriptor: int, *, plain: bool) -> io.TextIOWrapper:
    """A new text stream on a descriptor, in standard output's encoding, that drops output without a reader.

    Args:
        plain: replace characters for people rather than for JSON; see `set_up`.
    """
    set_up()
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    raw = io.BufferedWriter(ResilientFile(descriptor, "w"))  # type: ignore[type-var]  # of the `write` above
    return io.TextIOWrapper(raw, encoding=encoding, errors=PLAIN if plain else ESCAPE, line_buffering=True)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    substitutes = [_PLAIN.get(one) for one in error.object[error.start : error.end]]
    if all(one is not None for one in substitutes):
        return "".join(one or "" for one in substitutes), error.end
    return _escape(error)


def use_utf8(stream: IO[str]) -> None:
    """Has a stream write UTF-8 whatever the locale: files of other programs would be damaged silently."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")
