"""`TensorProto` to NumPy and back, quickly, and with nothing that a stranger's bytes can break.

The rules are those of `Tensor::FromProto` and `Tensor::AsProtoField` (tensorflow/core/framework/tensor.cc): values come
from `tensor_content` where that is set, else from the field of their type; fewer values than the shape asks for repeat
the last one (no value at all stands for zeros), more are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.protos import TensorProto
from serving.server import dtypes
from serving.server.service import Arrays

MAX_RANK = 32
"""NumPy's; TensorFlow's own is 254."""

MAX_FILLED_BYTES = 64 * 2**20
"""The default for the memory of what a request's tensors ask for beyond the values that they send."""

_PACKED_FROM = 16
"""From this many values on, reading the packed field from its bytes beats asking for each as a Python object."""

_VALUES: dict[int, tuple[str, np.dtype]] = {
    dtypes.FLOAT: ("float_val", np.dtype("<f4")),
    dtypes.DOUBLE: ("double_val", np.dtype("<f8")),
    dtypes.COMPLEX64: ("scomplex_val", np.dtype("<f4")),
    dtypes.COMPLEX128: ("dcomplex_val", np.dtype("<f8")),
    dtypes.INT32: ("int_val", np.dtype(np.int32)),
    dtypes.UINT8: ("int_val", np.dtype(np.int32)),
    dtypes.INT16: ("int_val", np.dtype(np.int32)),
    dtypes.INT8: ("int_val", np.dtype(np.int32)),
    dtypes.UINT16: ("int_val", np.dtype(np.int32)),
    dtypes.HALF: ("half_val", np.dtype(np.int32)),
    dtypes.BFLOAT16: ("half_val", np.dtype(np.int32)),
    dtypes.INT64: ("int64_val", np.dtype(np.int64)),
    dtypes.UINT32: ("uint32_val", np.dtype(np.uint32)),
    dtypes.UINT64: ("uint64_val", np.dtype(np.uint64)),
    dtypes.BOOL: ("bool_val", np.dtype(np.bool_)),
}
"""The field that holds a type's values, and the dtype that they have in it."""

_FIXED_WIDTH = (dtypes.FLOAT, dtypes.DOUBLE, dtypes.COMPLEX64, dtypes.COMPLEX128)
_HALVES = (dtypes.HALF, dtypes.BFLOAT16)
_COMPLEX = (dtypes.COMPLEX64, dtypes.COMPLEX128)

_FIELD_NUMBER = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}
_LENGTH_DELIMITED = 2


def decode_inputs(inputs: Mapping[str, Any], max_filled_bytes: int = MAX_FILLED_BYTES) -> dict[str, np.ndarray]:
    """The tensors of a `PredictRequest` by name; strings are arrays of `bytes` objects.

    `max_filled_bytes` bounds the memory that all of them together take for values that were not sent.

    Raises:
        StatusError: INVALID_ARGUMENT, a tensor is not one.
    """
    arrays = {}
    for name, proto in inputs.items():
        arrays[name] = decode(proto, name, max_filled_bytes)
        max_filled_bytes -= arrays[name].nbytes if _sent_bytes(proto) < arrays[name].nbytes else 0
    return arrays


def decode(proto: Any, name: str = "", max_filled_bytes: int = MAX_FILLED_BYTES) -> np.ndarray:
    """The array of a `TensorProto`. It may be read-only.

    Raises:
        StatusError: INVALID_ARGUMENT, TensorFlow's own message with the name of the tensor.
    """
    dtype = dtypes.NUMPY.get(proto.dtype)
    shape = _shape(proto.tensor_shape)
    if dtype is None or shape is None:
        raise _unreadable(name)
    count = 1
    for size in shape:
        count *= size
    if count == 0:
        return np.empty(shape, dtype)
    if proto.tensor_content:
        values = _from_content(proto, dtype, count)
    elif proto.dtype == dtypes.STRING:
        values = _filled(_strings(proto.string_val), count, dtype, b"", max_filled_bytes)
    else:
        values = _filled(_field_values(proto, dtype), count, dtype, 0, max_filled_bytes)
    if values is None:
        raise _unreadable(name)
    return values.reshape(shape)


def encode(array: np.ndarray, as_content: bool = False) -> Any:
    """The `TensorProto` of an array.

    `as_content` is what --enable_serialization_as_tensor_content asks for.

    Raises:
        StatusError: INTERNAL, the dtype has no number in the protocol.
    """
    proto = TensorProto()
    encode_into(proto, array, as_content)
    return proto


def encode_into(proto: Any, array: np.ndarray, as_content: bool = False) -> None:
    """Writes an array into an empty `TensorProto`; see `encode`."""
    array = np.asarray(array)
    number = dtypes.NUMBER.get(array.dtype.newbyteorder("="))
    if number is None:
        raise StatusError(Code.INTERNAL, f"Unsupported dtype of an output: {array.dtype}")
    proto.dtype = number
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if number == dtypes.STRING:
        strings = [one if type(one) is bytes else str(one).encode() for one in array.ravel().tolist()]
        if as_content:
            proto.tensor_content = b"".join(_varint(len(one)) for one in strings) + b"".join(strings)
        else:
            proto.string_val.extend(strings)
    elif as_content:
        proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    else:
        _write_values(proto, number, array)


def encode_outputs(outputs: Any, arrays: Arrays, as_content: bool = False) -> None:
    """Writes arrays into the map of tensors of a `PredictResponse`."""
    for name, array in arrays.items():
        encode_into(outputs[name], array, as_content)


def _unreadable(name: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, f"tensor parsing error: {name}")


def _shape(proto: Any) -> tuple[int, ...] | None:
    """The shape, or None where it is unknown, negative or of too many elements for a 64-bit number."""
    shape = tuple([dim.size for dim in proto.dim])
    if proto.unknown_rank or len(shape) > MAX_RANK:
        return None
    # Sizes of 0 aside, because NumPy has no address for such a shape either.
    count = 1
    for size in shape:
        count *= size or 1
        if size < 0 or count >= 2**59:
            return None
    return shape


def _sent_bytes(proto: Any) -> int:
    return int(proto.ByteSize()) if not proto.tensor_content else 2**63


def _from_content(proto: Any, dtype: np.dtype, count: int) -> np.ndarray | None:
    content = proto.tensor_content
    if proto.dtype == dtypes.STRING:
        return _strings_of_content(content, count)
    if len(content) != count * dtype.itemsize:
        return None
    if proto.dtype == dtypes.BOOL:
        return np.frombuffer(content, np.uint8).astype(np.bool_)  # a bool that is neither 0 nor 1 is undefined in C++
    return np.frombuffer(content, dtype)


def _strings_of_content(content: bytes, count: int) -> np.ndarray | None:
    """Strings as their lengths, varints, and then their bytes (`DecodeStringList`)."""
    if count > len(content):
        return None
    lengths, position = [], 0
    for _ in range(count):
        length, position = _read_varint(content, position)
        if position < 0 or length >= 2**32:
            return None
        lengths.append(length)
    if sum(lengths) != len(content) - position:
        return None
    values = np.empty(count, object)
    for index, length in enumerate(lengths):
        values[index] = content[position : position + length]
        position += length
    return values


def _strings(field: Any) -> np.ndarray:
    values = np.empty(len(field), object)
    values[:] = list(field)
    return values


def _field_values(proto: Any, dtype: np.dtype) -> np.ndarray:
    """The values of the type's own field, as many as there are."""
    field_name, in_field = _VALUES[proto.dtype]
    field = getattr(proto, field_name)
    if proto.dtype in _FIXED_WIDTH and len(field) >= _PACKED_FROM:
        values = _packed(proto, field_name, in_field, len(field))
    else:
        values = np.array(field[:], in_field)  # a slice is a list, made faster than by iterating
    if proto.dtype in _HALVES:
        return values.astype(np.uint16).view(dtype)
    if proto.dtype in _COMPLEX:
        return values[: len(values) // 2 * 2].view(dtype)
    return values.astype(dtype, copy=False)


def _packed(proto: Any, field_name: str, in_field: np.dtype, count: int) -> np.ndarray:
    """The values of a packed field from the message's bytes, where they stand as in memory."""
    content, position = proto.SerializeToString(), 0
    while position < len(content):
        tag, position = _read_varint(content, position)
        if tag & 7 != _LENGTH_DELIMITED:  # dtype, version_number; what is unknown may be of any kind
            if tag & 7 != 0:
                break
            _, position = _read_varint(content, position)
            continue
        length, position = _read_varint(content, position)
        if tag >> 3 == _FIELD_NUMBER[field_name] and length == count * in_field.itemsize:
            return np.frombuffer(content, in_field, count, position)
        position += length
    return np.array(getattr(proto, field_name)[:], in_field)


def _filled(values: np.ndarray, count: int, dtype: np.dtype, default: Any, max_bytes: int) -> np.ndarray | None:
    if len(values) >= count:
        return values[:count]
    if count * dtype.itemsize > max_bytes:
        return None
    filled = np.empty(count, dtype)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1] if len(values) else default
    return filled


def _write_values(proto: Any, number: int, array: np.ndarray) -> None:
    field_name, in_field = _VALUES[number]
    if number in _FIXED_WIDTH and array.size >= _PACKED_FROM:
        content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        tag = _varint(_FIELD_NUMBER[field_name] << 3 | _LENGTH_DELIMITED)
        proto.MergeFromString(tag + _varint(len(content)) + content)
        return
    flat = np.ascontiguousarray(array).reshape(-1)
    if number in _HALVES:
        flat = flat.view(np.uint16)
    elif number in _COMPLEX:
        flat = flat.view(in_field)
    getattr(proto, field_name).extend(flat.tolist())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at a position and the position behind it, -1 where the bytes end in it or it is too long."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            return 0, -1
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, -1
