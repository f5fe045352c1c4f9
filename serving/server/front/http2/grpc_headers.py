"""The headers of a gRPC call: what is asked, how long it may take, and how it ended (PROTOCOL-HTTP2.md of gRPC)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serving.errors import Code, StatusError
from serving.server.front.http2.message_compression import ENCODINGS
from serving.server.front.http2.nghttp2 import Fields

MAX_BYTES = 2**14  # of a call's headers, each with 32 more, as HTTP/2 counts them (gRPC's own limit)
_MAX_DETAILS = 6000  # bytes of grpc-message: clients refuse headers over 8 KiB

_CONTENT = (b"content-type", b"application/grpc")
_STATUS = (b":status", b"200")
_ACCEPTED = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())

ANSWER = Fields((_STATUS, _CONTENT, _ACCEPTED), lasting=True)
OK = Fields(((b"grpc-status", b"0"),), lasting=True)
NO_GRPC = Fields(((b":status", b"415"), (b"content-length", b"0")), lasting=True)

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TO_ENCODE = re.compile(rb"[^ -$&-~]")


def is_grpc(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the call is gRPC at all."""
    kind = headers.get(b"content-type", b"")
    return kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+", b";")


def timeout_of(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds that the call may take, None for as many as it likes.

    Raises:
        StatusError: INTERNAL, as gRPC's servers say.
    """
    text = headers.get(b"grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise StatusError(Code.INTERNAL, f"grpc-timeout is {text[:20]!r}, expected such as 100m")
    return int(match[1]) * _SECONDS[match[2]]


def encoding_of(headers: Mapping[bytes, bytes]) -> str:
    """How packed messages are packed.

    Raises:
        StatusError: UNIMPLEMENTED.
    """
    encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ENCODINGS:
        expected = ", ".join(ENCODINGS)
        raise StatusError(Code.UNIMPLEMENTED, f"grpc-encoding is {encoding[:40]!r}, expected one of {expected}")
    return encoding


def trailers(error: StatusError) -> Fields:
    """The end of an answer whose headers have gone."""
    return Fields(_ending(error))


def trailers_only(error: StatusError) -> Fields:
    """An answer without a message."""
    return Fields((_STATUS, _CONTENT, _ACCEPTED, *_ending(error)))


def _ending(error: StatusError) -> tuple[tuple[bytes, bytes], ...]:
    return (b"grpc-status", b"%d" % error.code.number), (b"grpc-message", percent_encoded(cut(error.message)))


def cut(text: str, limit: int = _MAX_DETAILS) -> str:
    """As much of details as has at most so many bytes when it is sent."""
    text = text[:limit]
    left = limit - len(percent_encoded(text))
    if left >= 0:
        return text
    low, high = 0, len(text)  # characters that fit, and that may
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(percent_encoded(text[:middle])) <= limit else (low, middle - 1)
    return text[:low]


def percent_encoded(text: str) -> bytes:
    """As gRPC sends details."""
    return _TO_ENCODE.sub(_encode, text.encode(errors="replace"))


def _encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
