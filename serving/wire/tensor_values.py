"""The values of a `TensorProto` to NumPy and back, for the server and its clients.

Source: `Tensor::FromProto` and `Tensor::AsProtoField` in tensorflow/core/framework/tensor.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.wire import dtypes, varints
from serving.wire.protos import TensorProto

FIELD_NUMBER = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}

_VARINT, _LENGTH = 0, 2  # wire types of protobuf
_PACKED_FROM = 16  # with this many values, reading the packed field from its bytes beats a Python object for each
_STEP_ROWS = 1024
_STEP_VALUES = 2**14


def content_values(content: bytes | memoryview, dtype: np.dtype) -> np.ndarray:
    """The numbers in a `tensor_content`, shape [N]; read-only.

    Raises:
        ValueError: its size is not a multiple of the dtype's.
    """
    if dtype == np.bool_:
        return np.frombuffer(content, np.uint8).astype(np.bool_)  # a bool that is neither 0 nor 1 is undefined in C++
    return np.frombuffer(content, dtype)


def content_strings(
    content: bytes | memoryview, count: int, check: Callable[[], None] = lambda: None
) -> list[memoryview] | None:
    """`count` strings in a `tensor_content`: their lengths as varints, then their bytes (`DecodeStringList`).

    None if the content does not hold exactly these.
    """
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


def field_values(proto: Any, dtype: np.dtype) -> np.ndarray:
    """All numbers in the type's own field, shape [N]."""
    field_name, in_field = dtypes.VALUES[proto.dtype]
    field = getattr(proto, field_name)
    if proto.dtype in dtypes.FIXED_WIDTH and len(field) >= _PACKED_FROM:
        values = _packed(proto, field_name, in_field, len(field))
    else:
        values = np.array(field[:], in_field)  # a slice is a list, which is faster than iterating
    return cast_field(values, proto.dtype, dtype)


def cast_field(values: np.ndarray, number: int, dtype: np.dtype) -> np.ndarray:
    """The values of a field as those of the tensor's type, `number`."""
    if number in dtypes.HALVES:
        return values.astype(np.uint16).view(dtype)
    if number in dtypes.COMPLEX:
        return values[: len(values) // 2 * 2].view(dtype)
    return values.astype(dtype, copy=False)


def filled(values: np.ndarray, count: int) -> np.ndarray:
    """`count` values: the last one is repeated, or zeros where there is none; surplus values are dropped."""
    if len(values) >= count:
        return values[:count]
    result = np.empty(count, values.dtype)
    result[: len(values)] = values
    result[len(values) :] = values[-1] if len(values) else 0
    return result


def _packed(proto: Any, field_name: str, in_field: np.dtype, count: int) -> np.ndarray:
    """The values of a packed fixed-width field, from the message's bytes."""
    content, position = proto.SerializeToString(), 0
    while position < len(content):
        tag, position = varints.read(content, position, len(content))
        if tag & 7 != _LENGTH:  # dtype, version_number; an unknown field may have any wire type
            if tag & 7 != _VARINT:
                break
            _, position = varints.read(content, position, len(content))
            continue
        length, position = varints.read(content, position, len(content))
        if tag >> 3 == FIELD_NUMBER[field_name] and length == count * in_field.itemsize:
            return np.frombuffer(content, in_field, count, position)
        position += length
    return np.array(getattr(proto, field_name)[:], in_field)


def encode_into(
    proto: Any, array: np.ndarray, as_content: bool = False, check: Callable[[], None] = lambda: None
) -> None:
    """Writes an array into an empty `TensorProto`, its values into `tensor_content` or into the type's field.

    `check` is called between two steps of long work.

    Raises:
        StatusError: INTERNAL, the dtype has no number in the protocol.
    """
    array = np.asarray(array)
    number = write_type_and_shape(proto, array)
    if number == dtypes.STRING:
        flat = array.reshape(-1)
        if as_content:
            strings = [one if type(one) is bytes else string_bytes(one) for one in flat.tolist()]
            proto.tensor_content = b"".join([varints.write(len(one)) for one in strings]) + b"".join(strings)
            return
        for start in range(0, len(flat), _STEP_ROWS):
            check()
            part = flat[start : start + _STEP_ROWS].tolist()
            proto.string_val.extend([one if type(one) is bytes else string_bytes(one) for one in part])
    elif as_content:
        proto.tensor_content = _little_endian(array)
    else:
        _write_field(proto, number, array, check)


def write_type_and_shape(proto: Any, array: np.ndarray) -> int:
    """Writes dtype and shape into an empty `TensorProto`; returns the number of the dtype.

    Raises:
        StatusError: INTERNAL, the dtype has no number in the protocol.
    """
    number = dtypes.NUMBER.get(array.dtype.newbyteorder("="))
    if number is None:
        raise StatusError(Code.INTERNAL, f"Unsupported dtype of an output: {array.dtype}")
    proto.dtype = number
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    return number


def string_bytes(value: Any) -> bytes:
    """A string of an output as bytes."""
    return value if type(value) is bytes else str(value).encode()


def _write_field(proto: Any, number: int, array: np.ndarray, check: Callable[[], None]) -> None:
    field_name, in_field = dtypes.VALUES[number]
    if number in dtypes.FIXED_WIDTH and array.size >= _PACKED_FROM:
        content = _little_endian(array)
        tag = varints.write(FIELD_NUMBER[field_name] << 3 | _LENGTH)
        proto.MergeFromString(tag + varints.write(len(content)) + content)
        return
    flat = np.ascontiguousarray(array).reshape(-1)
    if number in dtypes.HALVES:
        flat = flat.view(np.uint16)
    elif number in dtypes.COMPLEX:
        flat = flat.view(in_field)
    field = getattr(proto, field_name)
    for start in range(0, len(flat), _STEP_VALUES):
        check()
        field.extend(flat[start : start + _STEP_VALUES].tolist())


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
