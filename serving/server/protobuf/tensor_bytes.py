"""A `TensorProto` left in the bytes of its message: the positions of its parts, and its numbers piece by piece."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import DecodeError

from serving.server.protobuf.field_walk import LENGTH, VARINT, Walk
from serving.wire import varints
from serving.wire.protos import TensorShapeProto
from serving.wire.tensor_values import FIELD_NUMBER

_DTYPE, _SHAPE, _CONTENT = (FIELD_NUMBER[name] for name in ("dtype", "tensor_shape", "tensor_content"))
_STRINGS = FIELD_NUMBER["string_val"]
_FIXED_BYTES = {
    FIELD_NUMBER[name]: size
    for name, size in (("float_val", 4), ("double_val", 8), ("scomplex_val", 4), ("dcomplex_val", 8))
}
_NUMBERS = _FIXED_BYTES.keys() | {
    FIELD_NUMBER[name] for name in ("half_val", "int_val", "int64_val", "bool_val", "uint32_val", "uint64_val")
}
_DIM, _UNKNOWN_RANK, _SIZE = 2, 3, 1
assert [TensorShapeProto.DESCRIPTOR.fields_by_number[number].name for number in (_DIM, _UNKNOWN_RANK)] == [
    "dim",
    "unknown_rank",
]

_STEP_BYTES = 2**20


class SlicedTensor:
    """Filled by `read`, once per occurrence of the tensor: protobuf merges repeated fields.

    Attributes:
        dtype: the number of a `tensorflow.DataType`.
        sizes, unknown_rank: of `tensor_shape`.
        tensor_content: a view of the message.
        strings: views of `string_val` in the message.
    """

    def __init__(self) -> None:
        self.dtype, self.unknown_rank = 0, False
        self.sizes: list[int] = []
        self.tensor_content: bytes | memoryview = b""
        self.strings: list[memoryview] = []
        self._body = b""
        self._numbers: dict[int, array[int]] = {}  # begin and end positions in turn

    def read(self, walk: Walk, begin: int, end: int) -> None:
        """Reads a `TensorProto` between two positions.

        Raises:
            DecodeError, StatusError: see `Walk`.
        """
        self._body = walk.body
        for number, form, start, stop in walk.fields(begin, end):
            if number == _STRINGS and form == LENGTH:
                walk.count_rows()
                self.strings.append(walk.view[start:stop])
            elif number in _NUMBERS:
                fixed = _FIXED_BYTES.get(number)
                if form == LENGTH and fixed and (stop - start) % fixed:
                    raise DecodeError("packed numbers that end in the middle of one")
                if form == LENGTH or (form == VARINT if fixed is None else stop - start == fixed):
                    self._numbers.setdefault(number, array("Q")).extend((start, stop))
            elif number == _DTYPE and form == VARINT:
                self.dtype = varints.read(walk.body, start, stop)[0] & 0xFFFFFFFF
            elif number == _SHAPE and form == LENGTH:
                self._read_shape(walk, start, stop)
            elif number == _CONTENT and form == LENGTH:
                self.tensor_content = walk.view[start:stop]

    def _read_shape(self, walk: Walk, begin: int, end: int) -> None:
        for number, form, start, stop in walk.fields(begin, end):
            if number == _DIM and form == LENGTH:
                size = 0
                for inner, inner_form, at, behind in walk.fields(start, stop):
                    if inner == _SIZE and inner_form == VARINT:
                        size = varints.read(walk.body, at, behind)[0]
                self.sizes.append(size - 2**64 if size >= 2**63 else size)
            elif number == _UNKNOWN_RANK and form == VARINT:
                self.unknown_rank = bool(varints.read(walk.body, start, stop)[0])

    def numbers(self, field: str, in_field: np.dtype) -> Iterator[np.ndarray]:
        """The numbers of one of the repeated fields, piece by piece.

        Args:
            field: its name.
            in_field: the dtype of its values.

        Raises:
            DecodeError: a number does not end.
        """
        number = FIELD_NUMBER[field]
        places = self._numbers.get(number, array("Q"))
        for begin, end in zip(places[::2], places[1::2], strict=True):
            if number in _FIXED_BYTES:
                for start in range(begin, end, _STEP_BYTES):
                    size = min(_STEP_BYTES, end - start) // in_field.itemsize
                    yield np.frombuffer(self._body, in_field, size, start)
            elif end - begin <= varints.MAX_BYTES:
                yield _narrowed(np.array(list(varints.read_all(self._body, begin, end)), np.uint64), in_field)
            else:
                for values in varints.decode(self._body, begin, end):
                    yield _narrowed(values, in_field)


def _narrowed(values: np.ndarray, in_field: np.dtype) -> np.ndarray:
    """64-bit numbers cut to the field's width."""
    if in_field == np.bool_:
        return values.astype(np.bool_)
    return values.view(in_field) if in_field.itemsize == 8 else values.astype(np.uint32).view(in_field)
