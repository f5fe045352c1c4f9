"""What workers and their supervisor say to each other: frames over a socket pair, one pair for each worker.

A worker has `LOADED` its models, and may `OPEN` its ports as soon as it has the configuration that is in force; then
it is `READY`. It asks for something that concerns all (`ASK_RELOAD`, `ASK_METRICS`); the supervisor tells the workers
to do it (`DO_RELOAD`, `DO_METRICS`), collects what each has done (`RELOADED`, `COUNTED`), and sends the `ANSWER`.
`DO_METRICS` is the heartbeat as well: an event loop that answers is alive.
"""

from __future__ import annotations

import enum
import struct
from typing import Any

from serving.errors import Code, StatusError

MAX_BYTES = 2**26
"""Of a frame's content. Metrics are bounded far below it, configurations by `MAX_CONFIG_BYTES`."""

MAX_CONFIG_BYTES = 2**24

_MAX_MESSAGE_BYTES = 2**16  # of an error: it may name every model
_HEAD = struct.Struct(">IBQ")
_CODES = {code.number: code for code in Code}


class Kind(enum.IntEnum):
    """See the module."""

    LOADED = 0
    OPEN = 1
    READY = 2
    ASK_RELOAD = 3
    ASK_METRICS = 4
    DO_RELOAD = 5
    DO_METRICS = 6
    RELOADED = 7
    COUNTED = 8
    ANSWER = 9


Frame = tuple[Kind, int, bytes]
"""Kind, the number that connects what is asked with what is answered, and content."""


class BadFrameError(Exception):
    """What came is no frame: nothing that follows it can be read."""


def frame(kind: Kind, number: int, content: bytes = b"") -> bytes:
    """One frame, as bytes."""
    return _HEAD.pack(len(content), kind, number) + content


def frames(buffer: bytearray) -> list[Frame]:
    """Takes the complete frames out of a buffer.

    Raises:
        BadFrameError: an unknown kind, or a content of more than `MAX_BYTES`.
    """
    found: list[Frame] = []
    start = 0
    while len(buffer) - start >= _HEAD.size:
        size, kind, number = _HEAD.unpack_from(buffer, start)
        if size > MAX_BYTES or kind > max(Kind):
            raise BadFrameError(f"a frame of kind {kind} and {size} bytes; at most {MAX_BYTES} are taken")
        end = start + _HEAD.size + size
        if len(buffer) < end:
            break
        found.append((Kind(kind), number, bytes(buffer[start + _HEAD.size : end])))
        start = end
    del buffer[:start]
    return found


def reloaded(response: Any) -> bytes:
    """A `ReloadConfigResponse` as the content of RELOADED and ANSWER."""
    return bytes([Code.OK.number]) + bytes(response.SerializeToString())


def failed(error: StatusError) -> bytes:
    """The same for a reload that failed."""
    return bytes([error.code.number]) + error.message.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES]


def failure(content: bytes) -> StatusError | None:
    """What such a content says of a reload, None where it succeeded."""
    if content[0] == Code.OK.number:
        return None
    return StatusError(_CODES[content[0]], content[1:].decode("utf-8", "ignore"))


def is_taken(content: bytes) -> bool:
    """Whether a reload that ended so has put its configuration in force: UNKNOWN says that a model in it is not served
    yet, every other failure that all stays as it was."""
    return content[0] in (Code.OK.number, Code.UNKNOWN.number)
