"""Compressed bodies, unpacked in steps and not beyond what is reasonable."""

from __future__ import annotations

import io
import zlib

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked

MAX_RATIO = 100
"""To what multiple of its size a body may unpack, beyond `FREE_BYTES`. Texts and numbers reach 3 to 20; what unpacks to
a thousand times its size is a mistake or meant to do harm."""

FREE_BYTES = 8 * 2**20
"""To what any body may unpack: a small request for a large matrix of zeros is none that does harm."""

_GZIP_WBITS = 31
_STEP_BYTES = 2**16


def gunzipped(body: bytes, max_bytes: int, check: Check = unchecked) -> bytes | None:
    """What a body unpacks to; nothing where it is no gzip, as in TF Serving, and what follows its end is left.

    Args:
        body: compressed.
        max_bytes: that it may unpack to.
        check: called every few milliseconds; what it raises ends the work.

    Returns:
        The bytes, or None where they are more than `max_bytes`; not many more have then been unpacked.

    Raises:
        StatusError: INVALID_ARGUMENT, it unpacks to too large a multiple of its size.
    """
    unpacker, unpacked = zlib.decompressobj(_GZIP_WBITS), io.BytesIO()
    most = max(FREE_BYTES, MAX_RATIO * len(body))
    size = 0
    for begin in range(0, len(body), _STEP_BYTES):
        # Fed in parts, since what is not yet consumed is copied in each step.
        packed, full = body[begin : begin + _STEP_BYTES], True
        while (packed or full) and not unpacker.eof:
            check()
            try:
                part = unpacker.decompress(packed, _STEP_BYTES)
            except zlib.error:
                return b""
            unpacked.write(part)
            size += len(part)
            if size > max_bytes:
                return None
            if size > most:
                raise _bomb(len(body))
            packed, full = unpacker.unconsumed_tail, len(part) == _STEP_BYTES
    return unpacked.getvalue() if unpacker.eof else b""


def _bomb(size: int) -> StatusError:
    return StatusError(
        Code.INVALID_ARGUMENT,
        f"The compressed body of {size} bytes unpacks to more than {MAX_RATIO} times as many, and to more than "
        f"{FREE_BYTES}: send it in smaller parts, or not compressed",
    )
