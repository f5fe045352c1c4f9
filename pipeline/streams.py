"""Standard output and standard error as they really are: of any encoding, closed early, on a full disk."""

from __future__ import annotations

import codecs
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
    codecs.register_error(ESCAPE, _escape)
    codecs.register_error(PLAIN, _plain)
    for stream, handler in ((sys.stdout, ESCAPE), (sys.stderr, PLAIN)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=handler)


def flush() -> None:
    """What was printed leaves the process now, where what goes wrong can still be said.

    Raises:
        BrokenPipeError: the reader, such as `head`, has gone.
        OSError: it cannot be written.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop_output()  # else Python fails on it once more as it ends
        raise


def drop_output() -> None:
    """Sends what is still to be printed nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class Outlasting(io.FileIO):
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


def outlasting(descriptor: int, *, plain: bool) -> io.TextIOWrapper:
    """A text stream of its own onto standard output's file, in its encoding, that outlasts its reader.

    Args:
        plain: for people rather than as JSON, see `set_up`.
    """
    set_up()
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    raw = io.BufferedWriter(Outlasting(descriptor, "w"))  # type: ignore[type-var]  # of the `write` above
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
