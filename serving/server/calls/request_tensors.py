"""A request's tensors to NumPy and back, quickly, within limits, and safe against hostile bytes.

The rules are those of `Tensor::FromProto` and `Tensor::AsProtoField` (tensorflow/core/framework/tensor.cc): values come
from `tensor_content` if set, else from the field of their type; missing values repeat the last one (zeros if there is
none), surplus ones are ignored. A tensor's memory is counted before it is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from serving.errors import StatusError, invalid_argument
from serving.server.calls.request_limits import Limits
from serving.server.calls.service_interface import Arrays
from serving.server.calls.worker_threads import INLINE_BYTES, Check, unchecked
from serving.server.protobuf.example_bytes import OBJECT_BYTES
from serving.server.protobuf.field_walk import DEFAULT_LIMITS, too_many_bytes, too_many_rows
from serving.server.protobuf.joined_bytes import joined
from serving.server.protobuf.tensor_bytes import SlicedTensor
from serving.wire import dtypes
from serving.wire.tensor_values import cast_field, content_strings, content_values, encode_into, field_values, filled

MAX_RANK = 32
"""NumPy's; TensorFlow's own is 254."""

_ARRAY_BYTES = 128  # about what an array takes besides its values
_MAX_NAME = 200  # characters of a name in a message
_STEP_ROWS = 1024
_STEP_LENGTHS = 2**16
_ALIGNMENT = 64  # EIGEN_MAX_ALIGN_BYTES
_MANY_STRINGS = 2**10


class _TensorBudget:
    """Bytes and rows that the tensors of one request have taken, against its limits."""

    def __init__(self, limits: Limits, check: Check) -> None:
        self.limits, self.check = limits, check
        self.bytes = self.rows = 0

    def check_room(self, size: int, rows: int) -> None:
        """Refuses bytes and rows beyond the request's limits."""
        if self.rows + rows > self.limits.max_rows:
            raise too_many_rows(self.rows + rows, self.limits.max_rows)
        if self.bytes + size > self.limits.max_bytes:
            raise too_many_bytes(self.bytes + size, self.limits.max_bytes)

    def take(self, size: int, rows: int = 0) -> None:
        """Reserves them, in the process's budget as well."""
        self.check_room(size, rows)
        self.limits.take(size + rows * OBJECT_BYTES + _ARRAY_BYTES, rows)
        self.bytes, self.rows = self.bytes + size, self.rows + rows


def decode_inputs(
    inputs: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS, check: Check = unchecked
) -> dict[str, np.ndarray]:
    """The tensors of a `PredictRequest` by name; strings are arrays of `bytes` objects.

    Args:
        inputs: `TensorProto`s, or `SlicedTensor`s.
        limits: for the bytes and rows of all of them together; `take` is called before each is allocated.
        check: called every few milliseconds.

    Raises:
        StatusError: INVALID_ARGUMENT, an invalid tensor, or they exceed a limit; or whatever `take` raises.
        DecodeError: a `SlicedTensor` is not a valid message.
    """
    room = _TensorBudget(limits, check)
    return {name: _decode(proto, name, room) for name, proto in inputs.items()}


def rows_of(arrays: Arrays) -> int:
    """The number of strings."""
    return sum([array.size for array in arrays.values() if array.dtype == object])


def size_of(arrays: Arrays) -> int:
    """The memory of arrays in bytes; a string is counted each time it occurs."""
    size = 0
    for array in arrays.values():
        size += array.nbytes + _ARRAY_BYTES
        if array.dtype == object:
            size += (OBJECT_BYTES - array.itemsize) * array.size + sum(_lengths(array))
    return size


def output_bytes(outputs: Arrays) -> int:
    """Approximate bytes of outputs; if there are many strings, their lengths are ignored."""
    size = 0
    for array in outputs.values():
        size += array.nbytes
        if array.dtype.kind == "O":
            size += sum(map(len, array.ravel().tolist())) if array.size <= _MANY_STRINGS else INLINE_BYTES
    return size


def _lengths(array: np.ndarray) -> Iterator[int]:
    """The total lengths of strings, step by step."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), _STEP_LENGTHS):
        yield sum(map(len, flat[start : start + _STEP_LENGTHS].tolist()))


def _decode(proto: Any, name: str, room: _TensorBudget) -> np.ndarray:
    dtype = dtypes.NUMPY.get(proto.dtype)
    shape = _shape(proto)
    if dtype is None or shape is None:
        raise _unreadable(name)
    count = math.prod(shape)
    if count == 0:
        # A model may create rows from an empty tensor: its other sizes must be possible for a tensor with values.
        rows = math.prod([size or 1 for size in shape])
        room.check_room(*((0, rows) if proto.dtype == dtypes.STRING else (rows * dtype.itemsize, 0)))
        room.take(0)
        return np.empty(shape, dtype)
    if proto.dtype == dtypes.STRING:
        values = _strings(proto, count, room)
    elif proto.tensor_content:
        values = _from_content(proto, dtype, count, room)
    else:
        room.take(count * dtype.itemsize)
        sliced = type(proto) is SlicedTensor
        values = (
            _sliced_values(proto, dtype, count, room.check) if sliced else filled(field_values(proto, dtype), count)
        )
    if values is None:
        raise _unreadable(name)
    return values.reshape(shape)


def _unreadable(name: str) -> StatusError:
    return invalid_argument(f"tensor parsing error: {name[:_MAX_NAME]}")


def _shape(proto: Any) -> tuple[int, ...] | None:
    """The shape, or None if unknown, negative or with too many elements for 64 bits."""
    if type(proto) is SlicedTensor:
        sizes, unknown_rank = proto.sizes, proto.unknown_rank
    else:
        sizes, unknown_rank = [dim.size for dim in proto.tensor_shape.dim], proto.tensor_shape.unknown_rank
    if unknown_rank or len(sizes) > MAX_RANK:
        return None
    # Sizes of 0 are skipped: NumPy cannot address such a shape either.
    count = 1
    for size in sizes:
        count *= size or 1
        if size < 0 or count >= 2**59:
            return None
    return tuple(sizes)


def _from_content(proto: Any, dtype: np.dtype, count: int, room: _TensorBudget) -> np.ndarray | None:
    content = proto.tensor_content
    if len(content) != count * dtype.itemsize:
        return None
    room.take(len(content))
    values = content_values(content, dtype)
    if type(proto) is not SlicedTensor or proto.dtype == dtypes.BOOL:
        return values
    copy = _aligned_empty(count, dtype)  # the values alone would keep the whole message alive
    np.copyto(copy, values)
    return copy


def _sliced_values(proto: SlicedTensor, dtype: np.dtype, count: int, check: Check) -> np.ndarray:
    """As `filled(field_values(...))`, piece by piece."""
    field_name, in_field = dtypes.VALUES[proto.dtype]
    each = 2 if proto.dtype in dtypes.COMPLEX else 1
    parts = _aligned_empty(count * each, in_field if proto.dtype in dtypes.COMPLEX else dtype)
    done = 0
    for piece in proto.numbers(field_name, in_field):
        check()
        taken = piece[: len(parts) - done]
        parts[done : done + len(taken)] = taken if each == 2 else cast_field(taken, proto.dtype, dtype)
        done += len(taken)
        if done == len(parts):
            break
    values, done = parts.view(dtype), done // each
    values[done:] = values[done - 1] if done else 0
    return values


def _aligned_empty(count: int, dtype: np.dtype) -> np.ndarray:
    """Memory for `count` values at the alignment that TensorFlow wants.

    It copies values at any other address (`TF_NewTensor`) and holds the GIL meanwhile: 60 ms for 64 MiB.
    """
    size = count * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype)


def _strings(proto: Any, count: int, room: _TensorBudget) -> np.ndarray | None:
    """The strings; filled-in ones are counted as well, because TensorFlow copies them all."""
    room.check_room(0, count)
    if proto.tensor_content:
        slices = content_strings(proto.tensor_content, count, room.check)
        if slices is None:
            return None
    elif type(proto) is SlicedTensor:
        slices = proto.strings[:count]
    else:
        slices = proto.string_val[:count]
    last, missing = slices[-1] if slices else b"", count - len(slices)
    room.take(sum(map(len, slices)) + missing * len(last), count)
    values = np.empty(count, object)
    if type(last) is bytes:
        values[: len(slices)] = slices
    else:
        for row, one in enumerate(slices):
            if not row % _STEP_ROWS:
                room.check()
            values[row] = joined((one,), room.check)
    if missing:
        values[len(slices) :] = values[len(slices) - 1] if slices else b""
    return values


def encode_outputs(outputs: Any, arrays: Arrays, as_content: bool = False, check: Check = unchecked) -> None:
    """Writes arrays into the `outputs` of a `PredictResponse`; use `encode_response` for large ones."""
    for name, array in arrays.items():
        encode_into(outputs[name], array, as_content, check)
