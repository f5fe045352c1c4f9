"""Arrays to `TensorProto` and back, with numpy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from serving.wire.protos import TensorProto

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
_MAX_TOLD = 100  # characters of a value in a message
_MAX_RANK = 32  # numpy's
_NUMBERS_IN_FIELD = {"float_val": np.float64, "double_val": np.float64, "uint64_val": np.uint64}  # else int64

MAX_FILLED_BYTES = 2**26
"""For all tensors of an answer: the memory of values that the server did not send; more is taken for an error."""


def as_array(values: Any, name: str = "") -> np.ndarray:
    """What a caller gave, as an array that a model can take; `name` is the input's, for messages.

    Arrays keep their dtype. Python's numbers become float32, or int32 where they are whole and fit (as TensorFlow
    itself takes them); strings become `bytes` (UTF-8) in an object array.

    Raises:
        TypeError: values that are no numbers, strings or booleans, or rows of different lengths.
    """
    what = f"the input {name!r}" if name else "an input"
    if isinstance(values, np.ndarray):
        array = values
    else:
        try:
            # numpy's own strings have a fixed width, and lose zero bytes at the end
            array = np.asarray(values, dtype=object if isinstance(_first(values), (str, bytes)) else None)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"{what} cannot be an array: {error}") from None
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        elif array.dtype == np.int64 and (not array.size or (array.min() >= -(2**31) and array.max() < 2**31)):
            array = array.astype(np.int32)
    if array.dtype.kind in "USO":
        return _strings(array, what)
    if array.dtype not in _NUMBERS:
        raise TypeError(f"{what} has dtype {array.dtype}; expected numbers, booleans, str or bytes")
    return array


def to_proto(values: Any, name: str = "") -> Any:
    """The `TensorProto` of an array, or of (nested) lists; see `as_array`, which raises the same."""
    array = as_array(values, name)
    proto = TensorProto(dtype=_STRING if array.dtype == object else _NUMBERS[array.dtype])
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == object:
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return proto


def from_proto(proto: Any, max_filled_bytes: int = MAX_FILLED_BYTES) -> np.ndarray:
    """The array of a `TensorProto`; strings as `bytes` in an object array, bfloat16 as float32.

    `max_filled_bytes` bounds the memory of values that were not sent.

    Raises:
        ValueError: another dtype, no shape, or values that do not fill it.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or len(shape) > _MAX_RANK or min(shape, default=0) < 0:
        raise ValueError(f"the server sent a tensor of the shape {_told(shape)}, of which there is no array")
    if proto.dtype == _STRING:
        strings = _strings_of(proto.tensor_content, shape) if proto.tensor_content else proto.string_val
        return _filled(_object_array(strings), shape, max_filled_bytes)
    if proto.dtype == _BFLOAT16:
        bits = np.frombuffer(proto.tensor_content, "<u2") if proto.tensor_content else _field(proto, "half_val")
        widened = (bits.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return _filled(widened, shape, max_filled_bytes)
    if proto.dtype not in _TYPES:
        raise ValueError(f"the server sent a tensor of DataType {proto.dtype}, which numpy has no type for")
    kind, field = _TYPES[proto.dtype]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, np.dtype(kind).newbyteorder("<")).astype(kind).reshape(shape)
    values = _field(proto, field)
    if proto.dtype == _HALF:  # the bits of each, as an integer
        return _filled(values.astype(np.uint16).view(np.float16), shape, max_filled_bytes)
    return _filled(values.astype(kind), shape, max_filled_bytes)


def _field(proto: Any, name: str) -> np.ndarray:
    """The numbers of a repeated field."""
    values = getattr(proto, name)
    return np.fromiter(values, _NUMBERS_IN_FIELD.get(name, np.int64), len(values))


def _strings_of(content: bytes, shape: tuple[int, ...]) -> list[bytes]:
    """The strings of a `tensor_content`: the varints of their lengths, one for each, and then their bytes.

    Raises:
        ValueError: they are not that many, or not of those lengths.
    """
    count, position = math.prod(shape), 0
    wrong = f"the server sent {len(content)} bytes that are no strings of the shape {_told(shape)}"
    if count > len(content):
        raise ValueError(wrong)
    lengths: list[int] = []
    for _ in range(count):
        length = shift = 0
        more = True
        while more:
            if position == len(content) or shift > 63:
                raise ValueError(wrong)
            byte = content[position]
            length, more = length | (byte & 0x7F) << shift, byte >= 0x80
            position, shift = position + 1, shift + 7
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError(wrong)
    ends = list(accumulate(lengths, initial=position))
    return [content[begin:end] for begin, end in pairwise(ends)]


def _filled(values: np.ndarray, shape: tuple[int, ...], max_bytes: int) -> np.ndarray:
    """A tensor may leave out the end of its values, where they repeat the last one."""
    size, sent = math.prod(shape), len(values)
    if size != sent:
        told = f"the server sent {sent} values for the shape {_told(shape)}"
        if not 0 < sent < size:
            raise ValueError(told)
        if size * values.dtype.itemsize > max_bytes:
            raise ValueError(f"{told}; at most {max_bytes} bytes are filled with values that were not sent")
        filled = np.empty(size, values.dtype)
        filled[:sent], filled[sent:] = values, values[-1]
        values = filled
    return values.reshape(shape)


def _told(shape: tuple[int, ...]) -> str:
    """A shape for a message; a stranger's may be of any rank."""
    sizes = ", ".join(map(str, shape[:_MAX_RANK]))
    return f"[{sizes}]" if len(shape) <= _MAX_RANK else f"[{sizes}, ...] ({len(shape)} sizes)"


def _first(values: Any) -> Any:
    while isinstance(values, (list, tuple)) and values:
        values = values[0]
    return values


def _strings(array: np.ndarray, what: str) -> np.ndarray:
    flat = array.ravel().tolist()
    strings: list[bytes] = []
    for value in flat:
        if not isinstance(value, (str, bytes)):
            place = ", ".join(str(index) for index in np.unravel_index(len(strings), array.shape))
            where = f" at [{place}]" if place else ""
            got = f"{type(value).__name__} {repr(value)[:_MAX_TOLD]}{where}"
            raise TypeError(f"{what} holds {got}; expected rows of one length, str or bytes")
        strings.append(value if isinstance(value, bytes) else text_bytes(value))
    return _object_array(strings).reshape(array.shape)


def text_bytes(text: str) -> bytes:
    """UTF-8. Half of a surrogate pair (of a terminal, of cut JSON) is passed on: the model reads it as U+FFFD."""
    return text.encode("utf-8", errors="surrogatepass")


def _object_array(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
