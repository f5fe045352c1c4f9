"""gRPC's messages in the body of a stream: a byte that says whether it is packed, four with its length, itself.

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

# Bytes of a length whose content comes later, for nobody else to see until then: no copy at the end (Python's C API,
# PyBytes_FromStringAndSize: "if v is NULL, the contents of the bytes object are uninitialized").
new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
new_bytes.restype, new_bytes.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
copy = ctypes.PyDLL(None).memmove  # `ctypes.memmove` lets go of Python's lock, which is not worth it for a few kB
copy.restype, copy.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
address_of = ctypes.pythonapi.PyBytes_AsString
address_of.restype, address_of.argtypes = ctypes.c_void_p, (ctypes.py_object,)


class Message(NamedTuple):
    packed: bool
    content: bytes


class Assembly:
    """Puts the messages of one stream together.

    Args:
        limit: bytes that a message may have.
        admit: is called with the length of a message of more than INLINE_BYTES before it is taken in; it may raise.

    Attributes:
        length, filled: of the message that is coming in bytes; 0 and 0 between two.
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

    def feed(self, address: int, length: int) -> list[Message]:
        """Takes bytes, and gives the messages that they complete.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, a message is too long; INTERNAL, these are no messages.
        """
        done: list[Message] = []
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
                done.append(Message(self._head[0] == 1, self._content))
                self._content, self._head = None, b""
                self.length = self.filled = 0
        return done

    def _take_head(self, address: int, length: int) -> int:
        taken = min(length, HEAD.size - len(self._head))
        self._head += ctypes.string_at(address, taken)
        if len(self._head) == HEAD.size:
            packed, self.length = HEAD.unpack(self._head)
            if packed > 1:
                raise StatusError(Code.INTERNAL, f"A gRPC message begins with byte {packed}, expected 0 or 1")
            if self.length > self._limit:
                raise too_long(self.length, self._limit)
            if self.length > INLINE_BYTES:
                self._admit(self.length)
            self._content = new_bytes(None, self.length)
            self._address = address_of(self._content)
        return taken


def too_long(length: int | str, limit: int) -> StatusError:
    """What gRPC's own server says, and the flag."""
    message = f"Received message larger than max ({length} vs. {limit}): see --max_message_bytes"
    return StatusError(Code.RESOURCE_EXHAUSTED, message)
