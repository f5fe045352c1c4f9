"""Arrays to `TensorProto` and back, with numpy alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from serving.protos import TensorProto

# Numbers of tensorflow.DataType, the numpy type of each, and the field that holds values which are not in
# `tensor_content`. Source: tensorflow/core/framework/{types,tensor}.proto.
_TYPES: dict[int, tuple[Any, str]] = {
    1: (np.float32, "float_val"),
    2: (np.float64, "double_val"),
    3: (np.int32, "int_val"),
    4: (np.uint8, "int_val"),
    5: (np.int16, "int_val"),
    6: (np.int8, "int_val"),
    9: (np.int64, "int64_val"),
    10: (np.bool_, "bool_val"),
    17: (np.uint16, "int_val"),
    19: (np.float16, "half_val"),
    22: (np.uint32, "uint32_val"),
    23: (np.uint64, "uint64_val"),
}
_NUMBERS = {np.dtype(kind): number for number, (kind, _) in _TYPES.items()}
_STRING, _HALF, _BFLOAT16 = 7, 19, 14
_MOST_FILLED = 2**26  # values of a tensor that were not all sent; more is taken for an error


def as_array(values: Any) -> np.ndarray:
    """What a caller gave, as an array that a model can take.

    Arrays keep their dtype. Python's numbers become float32, or int32 where they are whole and fit (as TensorFlow
    itself takes them); strings become `bytes` (UTF-8) in an object array.

    Raises:
        TypeError: values that are no numbers, strings or booleans, or rows of different lengths.
    """
    if isinstance(values, np.ndarray):
        array = values
    else:
        try:
            # numpy's own strings have a fixed width, and lose zero bytes at the end
            array = np.asarray(values, dtype=object if isinstance(_first(values), (str, bytes)) else None)
        except ValueError as error:
            raise TypeError(f"an input cannot be an array: {error}") from None
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        elif array.dtype == np.int64 and (not array.size or np.abs(array).max() < 2**31):
            array = array.astype(np.int32)
    if array.dtype.kind in "USO":
        flat = [_as_bytes(value) for value in array.ravel().tolist()]
        array = _object_array(flat, array.shape)
    elif array.dtype not in _NUMBERS:
        raise TypeError(f"an input has dtype {array.dtype}; expected numbers, booleans, str or bytes")
    return array


def to_proto(values: Any) -> Any:
    """The `TensorProto` of an array, or of (nested) lists; see `as_array`, which raises the same."""
    array = as_array(values)
    proto = TensorProto(dtype=_STRING if array.dtype == object else _NUMBERS[array.dtype])
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == object:
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return proto


def from_proto(proto: Any) -> np.ndarray:
    """The array of a `TensorProto`; strings as `bytes` in an object array, bfloat16 as float32.

    Raises:
        ValueError: another dtype, or values that do not fill the shape.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.dtype == _STRING:
        strings = _strings_of(proto.tensor_content) if proto.tensor_content else list(proto.string_val)
        return _object_array(_filled(strings, shape), shape)
    if proto.dtype == _BFLOAT16:
        return _bfloat16(proto).reshape(shape)
    if proto.dtype not in _TYPES:
        raise ValueError(f"the server sent a tensor of DataType {proto.dtype}, which numpy has no type for")
    kind, field = _TYPES[proto.dtype]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, np.dtype(kind).newbyteorder("<")).astype(kind).reshape(shape)
    values = np.array(_filled(list(getattr(proto, field)), shape))
    if proto.dtype == _HALF:  # the bits of each, as an integer
        return values.astype(np.uint16).view(np.float16).reshape(shape)
    return values.astype(kind).reshape(shape)


def _bfloat16(proto: Any) -> np.ndarray:
    bits = np.frombuffer(proto.tensor_content, "<u2") if proto.tensor_content else None
    if bits is None:
        shape = tuple(dim.size for dim in proto.tensor_shape.dim)
        bits = np.array(_filled(list(proto.half_val), shape)).astype(np.uint16)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _strings_of(content: bytes) -> list[bytes]:
    """The strings of a `tensor_content`: the varints of their lengths, as many as there are, and then their bytes."""
    lengths: list[int] = []
    position = 0
    while position + sum(lengths) < len(content):
        length = shift = 0
        while content[position] & 0x80:
            length, shift, position = length | (content[position] & 0x7F) << shift, shift + 7, position + 1
        lengths.append(length | content[position] << shift)
        position += 1
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings


def _filled(values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """A tensor may leave out the end of its values, where they repeat the last one."""
    size = math.prod(shape)
    if values and len(values) < size <= _MOST_FILLED:
        values = values + [values[-1]] * (size - len(values))
    if len(values) != size:
        raise ValueError(f"the server sent {len(values)} values for the shape {list(shape)}")
    return values


def _first(values: Any) -> Any:
    while isinstance(values, (list, tuple)) and values:
        values = values[0]
    return values


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return text_bytes(value)
    raise TypeError(f"an input holds {type(value).__name__} {value!r}; expected rows of one length, str or bytes")


def text_bytes(text: str) -> bytes:
    """UTF-8. Half of a surrogate pair (of a terminal, of cut JSON) is passed on: the model reads it as U+FFFD."""
    return text.encode("utf-8", errors="surrogatepass")


def _object_array(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)
