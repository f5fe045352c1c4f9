"""Undoes gRPC's compression of a message, in steps, within what a message may be."""

from __future__ import annotations

import asyncio
import ctypes
import zlib
from concurrent.futures import Executor

from serving.errors import Code, StatusError
from serving.server.budget import Held
from serving.server.h2.messages import INLINE_BYTES, address_of, new_bytes, too_long

_STEP = 2**18  # bytes that are unpacked at a time
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
ENCODINGS = ("identity", *_WINDOW_BITS)


async def unpacked(packed: bytes, encoding: str, limit: int, held: Held, threads: Executor) -> bytes:
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
    if unpacking.length <= INLINE_BYTES:
        return unpacking.content()
    return await loop.run_in_executor(threads, unpacking.content)


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
        self._encoding, self._left = encoding, packed
        self._parts: list[bytes] = []
        self.length = 0

    def step(self, most: int = _STEP) -> bool:
        """Unpacks at most so many bytes more. True: that was all.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the message is too long; INTERNAL, it is broken.
        """
        try:
            part = self._inflating.decompress(self._left, most)
        except zlib.error as error:
            raise StatusError(Code.INTERNAL, f"The message cannot be unpacked as {self._encoding}: {error}") from error
        self._left = self._inflating.unconsumed_tail
        self.length += len(part)
        if self.length > self._limit:
            raise too_long(f"over {self._limit} unpacked", self._limit)
        self._parts.append(part)
        if self._inflating.eof:
            return True
        if not part and not self._left:
            raise StatusError(Code.INTERNAL, f"The message, packed as {self._encoding}, is cut off")
        return False

    def content(self) -> bytes:
        """The whole message. Python's lock is free while it is copied."""
        if len(self._parts) == 1:
            return self._parts[0]
        whole: bytes = new_bytes(None, self.length)
        address = address_of(whole)
        for part in self._parts:
            ctypes.memmove(address, part, len(part))
            address += len(part)
        return whole
