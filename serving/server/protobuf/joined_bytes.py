"""Joins bytes in steps: `b"".join` and `bytes` hold the GIL until they are done, 0.4 s for a gigabyte."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from serving.server.calls.worker_threads import Check

STEP_BYTES = 2**22
"""Copied in 1 to 4 ms."""


def joined(pieces: Iterable[bytes | memoryview], check: Check) -> bytes:
    """Joins all pieces; `check` is called between two steps."""
    buffer, left = BytesIO(), STEP_BYTES
    for piece in pieces:
        if len(piece) <= left:
            buffer.write(piece)
            left -= len(piece)
            continue
        view = memoryview(piece)
        for start in range(0, len(view), STEP_BYTES):
            check()
            buffer.write(view[start : start + STEP_BYTES])
        left = STEP_BYTES
    return buffer.getvalue()  # without a copy
