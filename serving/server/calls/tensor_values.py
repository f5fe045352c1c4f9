"""The values of one `TensorProto`, of a message that protobuf has parsed or of one that still lies in its bytes."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from serving.server.calls.worker_threads import Check
from serving.server.protobuf import varints
from serving.server.protobuf.field_walk import LENGTH
from serving.server.protobuf.tensor_bytes import FIELD_NUMBER, SlicedTensor
from serving.wire import dtypes

PACKED_FROM = 16
"""From this many values on, reading the packed field from its bytes beats asking for each as a Python object."""

_STEP_ROWS = 1024
_ALIGNMENT = 64  # EIGEN_MAX_ALIGN_BYTES


def aligned_empty(count: int, dtype: np.dtype) -> np.ndarray:
    """Memory for so many values, where TensorFlow wants it.

    What lies elsewhere it copies (`TF_NewTensor`), and holds Python's lock meanwhile: 60 ms for 64 MiB.
    """
    size = count * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype)


def slices_of_content(content: bytes | memoryview, count: int, check: Check) -> list[memoryview] | None:
    """Strings as their lengths, varints, and then their bytes (`DecodeStringList`)."""
    view, size = memoryview(content), len(content)
    if count > size:
        return None
    lengths, position = [], 0
    try:
        for row in range(count):
            length, position = varints.read(content, position, size)
            if length > size:
                return None
            lengths.append(length)
            if not row % _STEP_ROWS:
                check()
    except DecodeError:
        return None
    if sum(lengths) != size - position:
        return None
    ends = list(accumulate(lengths, initial=position))
    return [view[begin:end] for begin, end in pairwise(ends)]


def field_values(proto: Any, dtype: np.dtype, count: int) -> np.ndarray:
    """So many values from the type's own field."""
    field_name, in_field = dtypes.VALUES[proto.dtype]
    field = getattr(proto, field_name)
    if proto.dtype in dtypes.FIXED_WIDTH and len(field) >= PACKED_FROM:
        values = _packed(proto, field_name, in_field, len(field))
    else:
        values = np.array(field[:], in_field)  # a slice is a list, made faster than by iterating
    values = _typed(values, proto.dtype, dtype)
    if len(values) >= count:
        return values[:count]
    filled = np.empty(count, dtype)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1] if len(values) else 0
    return filled


def sliced_values(proto: SlicedTensor, dtype: np.dtype, count: int, check: Check) -> np.ndarray:
    """As `field_values`, piece by piece."""
    field_name, in_field = dtypes.VALUES[proto.dtype]
    each = 2 if proto.dtype in dtypes.COMPLEX else 1
    parts = aligned_empty(count * each, in_field if proto.dtype in dtypes.COMPLEX else dtype)
    done = 0
    for piece in proto.numbers(field_name, in_field):
        check()
        taken = piece[: len(parts) - done]
        parts[done : done + len(taken)] = taken if each == 2 else _typed(taken, proto.dtype, dtype)
        done += len(taken)
        if done == len(parts):
            break
    values, done = parts.view(dtype), done // each
    values[done:] = values[done - 1] if done else 0
    return values


def _typed(values: np.ndarray, number: int, dtype: np.dtype) -> np.ndarray:
    """The values of a field as those of the tensor's type."""
    if number in dtypes.HALVES:
        return values.astype(np.uint16).view(dtype)
    if number in dtypes.COMPLEX:
        return values[: len(values) // 2 * 2].view(dtype)
    return values.astype(dtype, copy=False)


def _packed(proto: Any, field_name: str, in_field: np.dtype, count: int) -> np.ndarray:
    """The values of a packed field from the message's bytes, where they stand as in memory."""
    content, position = proto.SerializeToString(), 0
    while position < len(content):
        tag, position = varints.read(content, position, len(content))
        if tag & 7 != LENGTH:  # dtype, version_number; what is unknown may be of any kind
            if tag & 7 != 0:
                break
            _, position = varints.read(content, position, len(content))
            continue
        length, position = varints.read(content, position, len(content))
        if tag >> 3 == FIELD_NUMBER[field_name] and length == count * in_field.itemsize:
            return np.frombuffer(content, in_field, count, position)
        position += length
    return np.array(getattr(proto, field_name)[:], in_field)
