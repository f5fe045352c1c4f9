"""The part of a response that the client has not read yet."""

from __future__ import annotations

from collections import deque

from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.http2.grpc_messages import HEAD, address_of, copy


class OutgoingMessages:
    """The messages of one response. True while some of it is left."""

    __slots__ = ("_offset", "_parts")

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._offset = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def size(self) -> int:
        """Bytes that are left, roughly."""
        return sum(map(len, self._parts))

    def put(self, message: bytes) -> None:
        """Adds a message."""
        head = HEAD.pack(0, len(message))
        if len(message) <= INLINE_BYTES:
            self._parts.append(head + message)
        else:
            self._parts.extend((head, message))

    def write(self, address: int, length: int) -> int:
        """Moves at most `length` bytes to an address. Returns how many."""
        written, parts = 0, self._parts
        while parts and written < length:
            part = parts[0]
            count = min(len(part) - self._offset, length - written)
            copy(address + written, address_of(part) + self._offset, count)
            written += count
            self._offset += count
            if self._offset == len(part):
                parts.popleft()
                self._offset = 0
        return written

    def clear(self) -> None:
        """Drops what is left."""
        self._parts.clear()
