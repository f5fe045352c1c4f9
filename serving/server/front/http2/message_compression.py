"""Undoes gRPC's compression of a message, in steps, within what a message may be."""

from __future__ import annotations

import asyncio
import io
import zlib
from concurrent.futures import Executor

from serving.errors import Code, StatusError
from serving.server.calls.budget import Reservation
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.http2.grpc_messages import too_long

_STEP = 2**18  # bytes that are taken in or unpacked at a time
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
ENCODINGS = ("identity", *_WINDOW_BITS)


async def unpacked(packed: bytes, encoding: str, limit: int, held: Reservation, threads: Executor) -> bytes:
    """The message: what is small at once, what is larger step by step in a thread, each step counted.

    Args:
        packed: as it came.
        encoding: one of `ENCODINGS`.
        limit: bytes that it may have.
        held: takes what it grows by.
        threads: for the steps.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, it is too long, or there is no memory; INTERNAL, it is broken.
    """
    if encoding == "identity":
        raise StatusError(Code.INTERNAL, "A message is marked as packed, but the call's grpc-encoding is identity")
    unpacking, loop, counted = Unpacking(packed, encoding, limit), asyncio.get_running_loop(), 0
    done = len(packed) <= INLINE_BYTES and unpacking.step(INLINE_BYTES)
    while not done:
        done = await loop.run_in_executor(threads, unpacking.step)
        held.take(size=unpacking.length - counted)
        counted = unpacking.length
    return unpacking.content()


class Unpacking:
    """Undoes gRPC's compression of one message, step by step; `content` is the message once `step` is true.

    Args:
        packed: the message as it came.
        encoding: "gzip" or "deflate".
        limit: bytes that the message may have.

    Attributes:
        length: of what is unpacked so far, in bytes.
    """

    def __init__(self, packed: bytes, encoding: str, limit: int) -> None:
        self._limit = limit
        self._inflating = zlib.decompressobj(_WINDOW_BITS[encoding])
        self._encoding, self._packed, self._left = encoding, memoryview(packed), b""
        self._content = io.BytesIO()
        self.length = 0

    def step(self, most: int = _STEP) -> bool:
        """Unpacks at most so many bytes more. True: that was all.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the message is too long; INTERNAL, it is broken.
        """
        if not self._left:  # fed in parts, since what is not yet consumed is copied in each step
            self._left, self._packed = bytes(self._packed[:_STEP]), self._packed[_STEP:]
        try:
            part = self._inflating.decompress(self._left, most)
        except zlib.error as error:
            raise StatusError(Code.INTERNAL, f"The message cannot be unpacked as {self._encoding}: {error}") from error
        self._left = self._inflating.unconsumed_tail
        self.length += len(part)
        if self.length > self._limit:
            raise too_long(f"over {self._limit} unpacked", self._limit)
        self._content.write(part)
        if self._inflating.eof:
            return True
        if not part and not self._left and not self._packed:
            raise StatusError(Code.INTERNAL, f"The message, packed as {self._encoding}, is cut off")
        return False

    def content(self) -> bytes:
        """The whole message."""
        return self._content.getvalue()  # does not copy what it holds
