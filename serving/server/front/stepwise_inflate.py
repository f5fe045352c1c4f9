"""Decompresses zlib data step by step, so that each step holds Python's lock only briefly."""

from __future__ import annotations

import io
import zlib

GZIP_WBITS, DEFLATE_WBITS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS


class InflatesTooFarError(Exception):
    """The data decompresses to more than the limit."""


class StepwiseInflater:
    """Call `step` until it returns True; then `content` is complete.

    Args:
        compressed: the data. What follows the end of its first stream is ignored.
        limit: bytes that it may decompress to.
        step_bytes: the most that one step reads; by default also the most that it decompresses to.

    Attributes:
        length: bytes decompressed so far.
    """

    def __init__(self, compressed: bytes, wbits: int, limit: int, step_bytes: int) -> None:
        self._decompressor, self._limit, self._step_bytes = zlib.decompressobj(wbits), limit, step_bytes
        self._compressed, self._unconsumed = memoryview(compressed), b""
        self._content = io.BytesIO()
        self.length = 0

    def step(self, max_bytes: int | None = None) -> bool:
        """Decompresses at most `max_bytes` more. Returns whether that was all.

        Raises:
            zlib.error: the data is damaged or cut off.
            InflatesTooFarError: `length` has exceeded the limit.
        """
        if not self._unconsumed:  # fed in parts, since every step copies what is not consumed yet
            self._unconsumed = bytes(self._compressed[: self._step_bytes])
            self._compressed = self._compressed[self._step_bytes :]
        part = self._decompressor.decompress(self._unconsumed, max_bytes or self._step_bytes)
        self._unconsumed = self._decompressor.unconsumed_tail
        self.length += len(part)
        if self.length > self._limit:
            raise InflatesTooFarError
        self._content.write(part)
        if self._decompressor.eof:
            return True
        if not part and not self._unconsumed and not self._compressed:
            raise zlib.error("incomplete or truncated stream")
        return False

    def content(self) -> bytes:
        """All that has been decompressed."""
        return self._content.getvalue()  # does not copy
