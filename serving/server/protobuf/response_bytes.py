"""Writes large Predict responses without protobuf, which would copy them four times and need a Python object for each
number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from serving.server.calls.service_interface import Arrays
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.protobuf.field_walk import LENGTH
from serving.server.protobuf.joined_bytes import joined
from serving.wire import dtypes, varints
from serving.wire.protos import PredictResponse, TensorProto
from serving.wire.tensor_values import FIELD_NUMBER, string_bytes, write_type_and_shape

_OUTPUTS = PredictResponse.DESCRIPTOR.fields_by_name["outputs"].number
_KEY, _VALUE = 1, 2
_STEP_ROWS = 1024


Chunk = bytes | memoryview


def encode_response(model_spec: Any, arrays: Arrays, as_content: bool = False, check: Check = unchecked) -> bytes:
    """A serialized `PredictResponse`.

    Args:
        model_spec: the `ModelSpec` of the version that ran.
        arrays: the outputs by name.
        as_content: see --enable_serialization_as_tensor_content.
        check: called every few milliseconds.

    Raises:
        StatusError: INTERNAL, a dtype has no number in the protocol.
    """
    pieces: list[Chunk] = [PredictResponse(model_spec=model_spec).SerializeToString()]
    for name, array in arrays.items():
        check()
        tensor = _tensor(np.asarray(array), as_content, check)
        key = name.encode()
        entry = [_head(_KEY, len(key)), key, _head(_VALUE, _size(tensor)), *tensor]
        pieces += [_head(_OUTPUTS, _size(entry)), *entry]
    return joined(pieces, check)


def _tensor(array: np.ndarray, as_content: bool, check: Check) -> list[Chunk]:
    """The pieces of a serialized `TensorProto`."""
    proto = TensorProto()
    number = write_type_and_shape(proto, array)
    head = proto.SerializeToString()
    flat = np.ascontiguousarray(array).reshape(-1)
    if number == dtypes.STRING and not as_content:
        field = FIELD_NUMBER["string_val"]
        return [head, *[b"".join([_head(field, len(one)) + one for one in part]) for part in _strings(flat, check)]]
    if number == dtypes.STRING:
        lengths: list[Chunk] = [b"".join([varints.write(len(one)) for one in part]) for part in _strings(flat, check)]
        values = lengths + [b"".join(part) for part in _strings(flat, check)]
    elif as_content or number in dtypes.FIXED_WIDTH:
        little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
        values = [little.view(np.uint8).data]
    else:
        integers = flat.view(np.uint16) if number in dtypes.HALVES else flat
        values = []
        for piece in varints.encode(integers):
            check()
            values.append(piece)
    size = _size(values)
    field = FIELD_NUMBER["tensor_content" if as_content else dtypes.VALUES[number][0]]
    return [head, _head(field, size), *values] if size else [head]


def _strings(flat: np.ndarray, check: Check) -> Iterator[list[bytes]]:
    """The strings, a step at a time."""
    for start in range(0, len(flat), _STEP_ROWS):
        check()
        yield [string_bytes(one) for one in flat[start : start + _STEP_ROWS].tolist()]


def _head(number: int, size: int) -> bytes:
    return varints.write(number << 3 | LENGTH) + varints.write(size)


def _size(pieces: list[Chunk]) -> int:
    return sum(map(len, pieces))
