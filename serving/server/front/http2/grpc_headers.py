"""The headers of a gRPC call: its method, timeout and status (PROTOCOL-HTTP2.md of gRPC)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serving.errors import Code, StatusError
from serving.server.front.http2.message_compression import ENCODINGS
from serving.server.front.http2.nghttp2 import Fields

MAX_BYTES = 2**14  # of a call's headers, each counted with 32 bytes more, as HTTP/2 does (gRPC's own limit)
_MAX_DETAILS = 6000  # bytes of grpc-message: clients refuse headers over 8 KiB

_CONTENT = (b"content-type", b"application/grpc")
_STATUS = (b":status", b"200")
_ACCEPTED = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())

RESPONSE = Fields((_STATUS, _CONTENT, _ACCEPTED), lasting=True)
OK_TRAILERS = Fields(((b"grpc-status", b"0"),), lasting=True)
NOT_GRPC = Fields(((b":status", b"415"), (b"content-length", b"0")), lasting=True)

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TO_ENCODE = re.compile(rb"[^ -$&-~]")


def is_grpc(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the call is a gRPC call."""
    kind = headers.get(b"content-type", b"")
    return kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+", b";")


def parse_timeout(headers: Mapping[bytes, bytes]) -> float | None:
    """The call's timeout in seconds, None for no timeout.

    Raises:
        StatusError: INTERNAL, as gRPC's servers respond.
    """
    text = headers.get(b"grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise StatusError(Code.INTERNAL, f"grpc-timeout is {text[:20]!r}; expected a value such as 100m")
    return int(match[1]) * _SECONDS[match[2]]


def parse_encoding(headers: Mapping[bytes, bytes]) -> str:
    """The encoding of compressed messages.

    Raises:
        StatusError: UNIMPLEMENTED.
    """
    encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ENCODINGS:
        expected = ", ".join(ENCODINGS)
        raise StatusError(Code.UNIMPLEMENTED, f"grpc-encoding is {encoding[:40]!r}; expected one of {expected}")
    return encoding


def trailers(error: StatusError) -> Fields:
    """The end of a response whose headers have been sent."""
    return Fields(_status_fields(error))


def trailers_only(error: StatusError) -> Fields:
    """A response without a message."""
    return Fields((_STATUS, _CONTENT, _ACCEPTED, *_status_fields(error)))


def _status_fields(error: StatusError) -> tuple[tuple[bytes, bytes], ...]:
    details = percent_encode(truncate_details(error.message))
    return (b"grpc-status", b"%d" % error.code.number), (b"grpc-message", details)


def truncate_details(text: str, limit: int = _MAX_DETAILS) -> str:
    """The longest beginning of the text that takes at most `limit` bytes once it is encoded."""
    text = text[:limit]
    if len(percent_encode(text)) <= limit:
        return text
    low, high = 0, len(text)  # characters that fit, and that may fit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(percent_encode(text[:middle])) <= limit else (low, middle - 1)
    return text[:low]


def percent_encode(text: str) -> bytes:
    """The details of a status as gRPC sends them."""
    return _TO_ENCODE.sub(_encode_byte, text.encode(errors="replace"))


def _encode_byte(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
