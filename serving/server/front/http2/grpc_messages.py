"""gRPC's messages in the body of a stream: one byte for whether it is compressed, four for its length, the content.

Source: PROTOCOL-HTTP2.md of gRPC.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import NamedTuple

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import INLINE_BYTES

HEAD = struct.Struct(">BI")

# A bytes object of a given length whose content is filled in later, before anything else sees it: this saves a copy
# (Python's C API, PyBytes_FromStringAndSize: "if v is NULL, the contents of the bytes object are uninitialized").
new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
new_bytes.restype, new_bytes.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
copy = ctypes.PyDLL(None).memmove  # `ctypes.memmove` releases Python's lock, which is not worth it for a few kB
copy.restype, copy.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
address_of = ctypes.pythonapi.PyBytes_AsString
address_of.restype, address_of.argtypes = ctypes.c_void_p, (ctypes.py_object,)


class GrpcMessage(NamedTuple):
    compressed: bool
    content: bytes


class MessageAssembly:
    """Assembles the messages of one stream.

    Args:
        limit: bytes that a message may have.
        admit: called with the length of a message of more than INLINE_BYTES before it is received; it may raise.

    Attributes:
        length, filled: of the message being received, in bytes; 0 and 0 between two messages.
    """

    __slots__ = ("_address", "_admit", "_content", "_head", "_limit", "filled", "length")

    def __init__(self, limit: int, admit: Callable[[int], None]) -> None:
        self._limit, self._admit = limit, admit
        self._head = b""
        self._content: bytes | None = None
        self._address = self.length = self.filled = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._content is not None or bool(self._head)

    def feed(self, address: int, length: int) -> list[GrpcMessage]:
        """Takes bytes, and returns the messages that they complete.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, a message is too large; INTERNAL, the bytes are not gRPC messages.
        """
        done: list[GrpcMessage] = []
        while length:
            if self._content is None:
                taken = self._take_head(address, length)
                address, length = address + taken, length - taken
                if self._content is None:
                    break
            taken = min(length, self.length - self.filled)
            copy(self._address + self.filled, address, taken)
            self.filled += taken
            address, length = address + taken, length - taken
            if self.filled == self.length:
                done.append(GrpcMessage(self._head[0] == 1, self._content))
                self._content, self._head = None, b""
                self.length = self.filled = 0
        return done

    def _take_head(self, address: int, length: int) -> int:
        taken = min(length, HEAD.size - len(self._head))
        self._head += ctypes.string_at(address, taken)
        if len(self._head) == HEAD.size:
            compressed, self.length = HEAD.unpack(self._head)
            if compressed > 1:
                raise StatusError(Code.INTERNAL, f"A gRPC message begins with byte {compressed}; expected 0 or 1")
            if self.length > self._limit:
                raise message_too_large(self.length, self._limit)
            if self.length > INLINE_BYTES:
                self._admit(self.length)
            self._content = new_bytes(None, self.length)
            self._address = address_of(self._content)
        return taken


def message_too_large(length: int | str, limit: int) -> StatusError:
    """The message of gRPC's own server, and the flag."""
    message = f"Received message larger than max ({length} vs. {limit}): see --max_message_bytes"
    return StatusError(Code.RESOURCE_EXHAUSTED, message)
