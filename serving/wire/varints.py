"""Varints (protobuf's numbers of one to ten bytes), one at a time and in bulk.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from google.protobuf.message import DecodeError

MAX_BYTES = 10
_STEP_BYTES = 2**18
_STEP_VALUES = 2**15


def read(body: bytes | memoryview, position: int, end: int, most: int = MAX_BYTES) -> tuple[int, int]:
    """The number at a position, unsigned and of 64 bits, and the position after it.

    Raises:
        DecodeError: the bytes end within it, or it has more than `most` bytes.
    """
    value = shift = 0
    for index in range(position, min(position + most, end)):
        byte = body[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, index + 1
        shift += 7
    raise DecodeError("a number that is cut off")


def write(value: int) -> bytes:
    """The varint of a non-negative number."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_all(body: bytes, begin: int, end: int) -> Iterator[int]:
    """All numbers, one at a time; for a few of them.

    Raises:
        DecodeError: one does not end, or has more than ten bytes.
    """
    while begin < end:
        value, begin = read(body, begin, end)
        yield value


def decode(body: bytes, begin: int, end: int) -> Iterator[np.ndarray]:
    """All numbers as arrays of uint64, piece by piece.

    Raises:
        DecodeError: one does not end, or has more than ten bytes.
    """
    while begin < end:
        piece = np.frombuffer(body, np.uint8, min(_STEP_BYTES, end - begin), begin)
        ends = np.flatnonzero(piece < 0x80)
        if not len(ends):
            raise DecodeError("a number that is cut off")
        size = int(ends[-1]) + 1
        yield _decoded(piece[:size], ends)
        begin += size


def _decoded(piece: np.ndarray, ends: np.ndarray) -> np.ndarray:
    if len(ends) == len(piece):
        return piece.astype(np.uint64)
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    sizes = ends - starts + 1
    longest = int(sizes.max())
    if longest > MAX_BYTES:
        raise DecodeError("a number of more than ten bytes")
    values = (piece[starts] & 0x7F).astype(np.uint64)
    for index in range(1, longest):
        longer = np.flatnonzero(sizes > index)
        values[longer] |= (piece[starts[longer] + index] & 0x7F).astype(np.uint64) << np.uint64(7 * index)
    return values


def encode(values: np.ndarray) -> Iterator[bytes]:
    """The varints of an array of integers, shape [N], piece by piece; negative ones have ten bytes."""
    for start in range(0, len(values), _STEP_VALUES):
        yield _encoded(values[start : start + _STEP_VALUES].astype(np.int64, copy=False).view(np.uint64))


def _encoded(values: np.ndarray) -> bytes:
    highest = int(values.max())
    if highest < 0x80:
        return values.astype(np.uint8).tobytes()
    width = (highest.bit_length() + 6) // 7
    shifted = values[:, None] >> (np.arange(width, dtype=np.uint64) * np.uint64(7))
    digits = (shifted & np.uint64(0x7F)).astype(np.uint8)
    more = np.zeros(shifted.shape, np.bool_)
    more[:, :-1] = shifted[:, 1:] > 0
    digits[more] |= 0x80
    used = more.copy()
    used[:, 0] = True
    used[:, 1:] |= shifted[:, 1:] > 0
    return bytes(digits[used])
