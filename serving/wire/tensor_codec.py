"""A client's arrays to `TensorProto` and back; needs protobuf and NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.wire import dtypes
from serving.wire.protos import TensorProto
from serving.wire.tensor_values import content_strings, content_values, encode_into, field_values, filled

_SUPPORTED = dtypes.NUMPY.keys() - {dtypes.STRING, dtypes.BFLOAT16, *dtypes.COMPLEX}
_MAX_VALUE_LENGTH = 100  # characters of a value in a message
_MAX_RANK = 32  # NumPy's

MAX_FILLED_BYTES = 2**26
"""Memory for values that the server did not send, for all tensors of a response; more is treated as an error."""


def as_array(values: Any, name: str = "") -> np.ndarray:
    """A caller's values as an array that a model can take; `name` is the input's, for messages.

    Arrays keep their dtype. Python numbers become float32, or int32 if they are whole and fit (as in TensorFlow);
    strings become `bytes` (UTF-8) in an object array.

    Raises:
        TypeError: values other than numbers, strings or booleans, or rows of different lengths.
    """
    what = f"the input {name!r}" if name else "an input"
    if isinstance(values, np.ndarray):
        array = values
    else:
        try:
            # NumPy's own strings have a fixed width and lose trailing zero bytes.
            array = np.asarray(values, dtype=object if isinstance(_first(values), (str, bytes)) else None)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"{what} cannot be an array: {error}") from None
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        elif array.dtype == np.int64 and (not array.size or (array.min() >= -(2**31) and array.max() < 2**31)):
            array = array.astype(np.int32)
    if array.dtype.kind in "USO":
        return _strings(array, what)
    if dtypes.NUMBER.get(array.dtype) not in _SUPPORTED:
        raise TypeError(f"{what} has dtype {array.dtype}; expected numbers, booleans, str or bytes")
    return array


def to_proto(values: Any, name: str = "") -> Any:
    """The `TensorProto` of an array or of (nested) lists; see `as_array`, which raises the same."""
    array = as_array(values, name)
    proto = TensorProto()
    encode_into(proto, array, as_content=array.dtype != object)
    return proto


def from_proto(proto: Any, max_filled_bytes: int = MAX_FILLED_BYTES) -> np.ndarray:
    """The array of a `TensorProto`; strings as `bytes` in an object array, bfloat16 as float32.

    `max_filled_bytes` limits the memory for values that were not sent.

    Raises:
        ValueError: unsupported dtype, no shape, or values that do not fit the shape.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or len(shape) > _MAX_RANK or min(shape, default=0) < 0:
        raise ValueError(f"the server sent a tensor of shape {_shown(shape)}, which no array can have")
    if proto.dtype == dtypes.STRING:
        return _filled(_object_array(_strings_of(proto, shape)), shape, max_filled_bytes)
    if proto.dtype == dtypes.BFLOAT16:
        bits = np.dtype(np.uint16)
        sent = content_values(proto.tensor_content, bits) if proto.tensor_content else field_values(proto, bits)
        return _filled((sent.astype(np.uint32) << 16).view(np.float32), shape, max_filled_bytes)
    if proto.dtype not in _SUPPORTED:
        raise ValueError(f"the server sent a tensor of DataType {proto.dtype}, which is not supported")
    dtype = dtypes.NUMPY[proto.dtype]
    if proto.tensor_content:
        return content_values(proto.tensor_content, dtype).copy().reshape(shape)
    return _filled(field_values(proto, dtype), shape, max_filled_bytes)


def _strings_of(proto: Any, shape: tuple[int, ...]) -> Sequence[bytes]:
    content = proto.tensor_content
    if not content:
        return proto.string_val  # type: ignore[no-any-return]
    strings = content_strings(content, math.prod(shape))
    if strings is None:
        raise ValueError(f"the server sent {len(content)} bytes that are not strings of shape {_shown(shape)}")
    return [bytes(one) for one in strings]


def _filled(values: np.ndarray, shape: tuple[int, ...], max_bytes: int) -> np.ndarray:
    """A server may leave out trailing values that repeat the last one; anything else must fit the shape."""
    size, sent = math.prod(shape), len(values)
    if size != sent:
        problem = f"the server sent {sent} values for the shape {_shown(shape)}"
        if not 0 < sent < size:
            raise ValueError(problem)
        if size * values.dtype.itemsize > max_bytes:
            raise ValueError(f"{problem}; at most {max_bytes} bytes are filled with values that were not sent")
    values = filled(values, size).reshape(shape)
    return values if values.flags.writeable else values.copy()


def _shown(shape: tuple[int, ...]) -> str:
    """A shape for a message; a stranger's may have any rank."""
    sizes = ", ".join(map(str, shape[:_MAX_RANK]))
    return f"[{sizes}]" if len(shape) <= _MAX_RANK else f"[{sizes}, ...] ({len(shape)} sizes)"


def _first(values: Any) -> Any:
    while isinstance(values, (list, tuple)) and values:
        values = values[0]
    return values


def _strings(array: np.ndarray, what: str) -> np.ndarray:
    strings: list[bytes] = []
    for value in array.ravel().tolist():
        if not isinstance(value, (str, bytes)):
            index = ", ".join(str(part) for part in np.unravel_index(len(strings), array.shape))
            where = f" at [{index}]" if index else ""
            got = f"{type(value).__name__} {repr(value)[:_MAX_VALUE_LENGTH]}{where}"
            raise TypeError(f"{what} holds {got}; expected rows of one length, str or bytes")
        strings.append(value if isinstance(value, bytes) else text_bytes(value))
    return _object_array(strings).reshape(array.shape)


def text_bytes(text: str) -> bytes:
    """UTF-8. Half a surrogate pair (from a terminal or cut JSON) is passed on; the model reads it as U+FFFD."""
    return text.encode("utf-8", errors="surrogatepass")


def _object_array(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
