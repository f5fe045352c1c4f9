"""The protocol between workers and their supervisor: frames over a socket pair, one pair per worker.

A worker reports that its models are `LOADED`. It may `OPEN` its ports once it has the configuration in force; then it
is `READY`. A worker requests what concerns all of them (`REQUEST_RELOAD`, `REQUEST_METRICS`). The supervisor makes the
workers do it (`DO_RELOAD`, `DO_METRICS`), collects their results (`RELOADED`, `METRICS`), and sends the `REPLY`.
`DO_METRICS` is also the heartbeat: an event loop that replies is alive.
"""

from __future__ import annotations

import enum
import struct
from typing import Any

from serving.errors import Code, StatusError

MAX_BYTES = 2**26
"""Of a frame's content. Metrics are limited to far less, configurations to `MAX_CONFIG_BYTES`."""

MAX_CONFIG_BYTES = 2**24

_MAX_MESSAGE_BYTES = 2**16  # of an error: it may name every model
_HEAD = struct.Struct(">IBQ")
_CODES = {code.number: code for code in Code}


class FrameKind(enum.IntEnum):
    """See the module."""

    LOADED = 0
    OPEN = 1
    READY = 2
    REQUEST_RELOAD = 3
    REQUEST_METRICS = 4
    DO_RELOAD = 5
    DO_METRICS = 6
    RELOADED = 7
    METRICS = 8
    REPLY = 9


Frame = tuple[FrameKind, int, bytes]
"""Kind, the number that connects a request with its reply, and content."""


class BadFrameError(Exception):
    """The bytes are not a frame, so nothing after them can be read."""


def encode_frame(kind: FrameKind, number: int, content: bytes = b"") -> bytes:
    return _HEAD.pack(len(content), kind, number) + content


def pop_frames(buffer: bytearray) -> list[Frame]:
    """Removes the complete frames from a buffer and returns them.

    Raises:
        BadFrameError: an unknown kind, or more than `MAX_BYTES` of content.
    """
    frames: list[Frame] = []
    start = 0
    while len(buffer) - start >= _HEAD.size:
        size, kind, number = _HEAD.unpack_from(buffer, start)
        if size > MAX_BYTES or kind > max(FrameKind):
            raise BadFrameError(f"a frame of kind {kind} and {size} bytes; the limit is {MAX_BYTES}")
        end = start + _HEAD.size + size
        if len(buffer) < end:
            break
        frames.append((FrameKind(kind), number, bytes(buffer[start + _HEAD.size : end])))
        start = end
    del buffer[:start]
    return frames


def encode_reload_response(response: Any) -> bytes:
    """A `ReloadConfigResponse` as the content of RELOADED and REPLY."""
    return bytes([Code.OK.number]) + bytes(response.SerializeToString())


def encode_reload_failure(error: StatusError) -> bytes:
    """The same content for a reload that failed."""
    return bytes([error.code.number]) + error.message.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES]


def decode_reload_failure(content: bytes) -> StatusError | None:
    """The error in such a content, None for a successful reload."""
    if content[0] == Code.OK.number:
        return None
    return StatusError(_CODES[content[0]], content[1:].decode("utf-8", "ignore"))


def took_effect(content: bytes) -> bool:
    """Whether a reload with this result put its configuration in force. UNKNOWN means that a model is not served yet;
    after any other failure nothing has changed."""
    return content[0] in (Code.OK.number, Code.UNKNOWN.number)
