"""Standard output and standard error as they really are: of any encoding, closed early, on a full disk."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys

ESCAPE, PLAIN = "transom.escape", "transom.plain"
_PLAIN = {"…": "...", "✓": "+", "✗": "x", "×": "x", "≥": ">=", "≤": "<=", "–": "-", "’": "'", "“": '"', "”": '"'}


def set_up() -> None:
    """Nothing that is printed, which comes from the user's data too, may end the command: it is escaped.

    On standard output as JSON escapes it, so that JSON stays JSON; in messages to people with what stands for it.
    """
    _open_closed()
    codecs.register_error(ESCAPE, _escape)
    codecs.register_error(PLAIN, _plain)
    for stream, handler in ((sys.stdout, ESCAPE), (sys.stderr, PLAIN)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=handler)


def _open_closed() -> None:
    """Gives the process the standard streams that it was started without (`>&-`), leading nowhere.

    Else the next file that it opens, such as the project's lock, would get the number of one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def flush() -> None:
    """What was printed leaves the process now, where what goes wrong can still be said.

    Raises:
        BrokenPipeError: the reader, such as `head`, has gone.
        OSError: it cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()  # else Python fails on it once more as it ends
        raise


def drop_output(number: int = 1) -> None:
    """Sends what is still to be printed, on standard output (or error: 2), nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def print_message(line: str) -> None:
    """Prints a line for people, behind what was printed before; the exit code tells, too, where nobody can read it."""
    with contextlib.suppress(OSError):
        flush()
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        drop_output(2)


class ResilientFile(io.FileIO):
    """A file whose reader may go: what it no longer takes is dropped, so that a run of hours is not lost to `head`.

    So may a terminal that is closed.
    """

    def write(self, content: bytes, /) -> int:  # type: ignore[override]  # typeshed: Buffer
        """Writes, or drops."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            return len(content)


def open_resilient_output(descriptor: int, *, plain: bool) -> io.TextIOWrapper:
    """A text stream of its own onto standard output's file, in its encoding, that outlasts its reader.

    Args:
        plain: for people rather than as JSON, see `set_up`.
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
    told = [_PLAIN.get(one) for one in error.object[error.start : error.end]]
    if all(one is not None for one in told):
        return "".join(one or "" for one in told), error.end
    return _escape(error)
