"""Converts JSON values to arrays (tensorflow_serving/util/json_tensor.cc, with its messages).

NumPy fills an array whose values are all of one kind. Anything else is walked value by value in TF Serving's order, to
find the right error message. Both work in steps: a value may contain millions of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_error_text import debug_string, invalid, type_name
from serving.server.front.json.json_strings import LongText, decode_base64, encoded
from serving.wire import dtypes

_FLOATS = (dtypes.FLOAT, dtypes.DOUBLE)
# 8- and 16-bit integers accept any int32, as `int_val` does, and are truncated afterwards.
_SMALL = (dtypes.INT32, dtypes.UINT8, dtypes.INT16, dtypes.INT8)
_RANGES = dict.fromkeys(_SMALL, (-(2**31), 2**31)) | {
    dtypes.INT64: (-(2**63), 2**63),
    dtypes.UINT32: (0, 2**32),
    dtypes.UINT64: (0, 2**64),
}
_MAX_DIMS = 32  # of a numpy array
_STEP_VALUES = 2**14
_STRING_BYTES = 48  # overhead of a string


def is_base64(value: Any) -> bool:
    """Whether the value encodes bytes: an object with only a string under `b64`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) in (str, LongText)


def bytes_of(value: Any, check: Check = unchecked) -> bytes:
    """The bytes that such an object encodes.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {debug_string(value)} not formatted correctly for base64 data")
    return decode_base64(value["b64"], check)


def steps(values: Sequence[Any], check: Check, size: int = _STEP_VALUES) -> Iterator[Sequence[Any]]:
    """The values in order, `size` at a time, with a `check` before each step but the first."""
    if len(values) <= size:
        yield values
        return
    for begin in range(0, len(values), size):
        if begin:
            check()
        yield values[begin : begin + size]


class ArrayBuilder:
    """Builds the arrays of one request, within limits.

    Args:
        limits: of the bytes and strings in all arrays; each array is charged to the budget before it is built.
        check: called between the steps.
    """

    def __init__(self, limits: Limits, check: Check) -> None:
        self.check = check
        self._limits = limits
        self._strings = self._bytes = self._rows = 0
        self._taken_bytes = self._taken_rows = 0

    def restart(self) -> None:
        """Called when the arrays built so far are dropped and all are built again."""
        self._strings = self._bytes = self._rows = 0

    def from_value(self, value: Any, dtype: int) -> np.ndarray:
        """The array of a value.

        Raises:
            StatusError: INVALID_ARGUMENT; UNIMPLEMENTED: JSON has no values of the dtype; errors of `limits.take`.
        """
        array = self.from_regular(value, dtype)
        if array is not None:
            return array
        shape = shape_of(value)
        leaves: list[Any] = []
        self.walk(value, 0, dtype, shape, leaves)
        return self.from_leaves(leaves, dtype, shape)

    def from_regular(self, value: Any, dtype: int) -> np.ndarray | None:
        """The array of a regular value whose leaves are all of the dtype's kind; None for any other value."""
        shape = shape_of(value)
        leaves = value if shape else [value]
        for size in shape[1:]:
            for part in steps(leaves, self.check):
                if not all(type(item) is list and len(item) == size for item in part):
                    return None
            leaves = leaves[0] if len(leaves) == 1 else self._concatenated(leaves, size)
        kinds: set[type] = set()
        for part in steps(leaves, self.check):
            kinds.update(map(type, part))
        if dtype == dtypes.STRING:
            return self._from_strings(leaves, shape) if kinds <= {str, LongText} else None
        if dtype in _FLOATS:
            return self.from_leaves(leaves, dtype, shape) if kinds <= {int, float} else None
        if dtype == dtypes.BOOL:
            return self.from_leaves(leaves, dtype, shape) if kinds <= {bool} else None
        if dtype not in _RANGES or not kinds <= {int}:
            return None
        low, high = _RANGES[dtype]
        for part in steps(leaves, self.check):
            if part and not (min(part) >= low and max(part) < high):
                return None
        return self.from_leaves(leaves, dtype, shape)

    def _concatenated(self, lists: Sequence[list[Any]], size: int) -> list[Any]:
        """The elements of lists, all of one size."""
        joined: list[Any] = []
        for group in steps(lists, self.check, max(1, _STEP_VALUES // max(size, 1))):
            for part in steps(group[0], self.check) if len(group) == 1 else (chain.from_iterable(group),):
                joined.extend(part)
        return joined

    def _from_strings(self, leaves: Sequence[Any], shape: list[int]) -> np.ndarray:
        self._count_strings(len(leaves))
        return self._from_bytes([encoded(leaf) for leaf in leaves], shape)

    def _count_strings(self, strings: int) -> None:
        self._strings += strings
        if self._strings > self._limits.max_rows:
            got = f"The request has {self._strings} strings or more"
            raise invalid(f"{got}; at most {self._limits.max_rows} are allowed (--max_request_rows)")

    def _charge(self, size: int, rows: int) -> None:
        """Charges an array's bytes and strings, except what was already charged before a restart."""
        self._bytes, self._rows = self._bytes + size, self._rows + rows
        if self._bytes > self._limits.max_bytes:
            got = f"The request's tensors take {self._bytes} bytes or more"
            raise invalid(f"{got}; at most {self._limits.max_bytes} are allowed (--max_message_bytes)")
        size = max(self._bytes + self._rows * _STRING_BYTES - self._taken_bytes, 0)
        rows = max(self._rows - self._taken_rows, 0)
        if size or rows:
            self._limits.take(size, rows)
            self._taken_bytes, self._taken_rows = self._taken_bytes + size, self._taken_rows + rows

    def _from_bytes(self, leaves: list[bytes], shape: list[int]) -> np.ndarray:
        _check_rank(shape)
        self._charge(sum(map(len, leaves)), len(leaves))
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array if len(shape) == 1 else array.reshape(shape)

    def from_leaves(self, leaves: Sequence[Any], dtype: int, shape: list[int]) -> np.ndarray:
        """The array of leaves that fit the dtype."""
        _check_rank(shape)
        if dtype == dtypes.STRING:
            return self._from_bytes(list(leaves), shape)
        if dtype not in _RANGES and dtype not in (*_FLOATS, dtypes.BOOL):
            # Reached only without leaves: any value of such a dtype has been refused.
            name = dtypes.name_of(dtype)
            raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: [] to type: {name}")
        wide = np.float64 if dtype in _FLOATS else np.bool_ if dtype == dtypes.BOOL else np.int64
        array = np.empty(len(leaves), dtypes.NUMPY[dtype])
        self._charge(array.nbytes, 0)
        offset = 0
        with np.errstate(over="ignore"):  # values beyond a float become infinite, as in TF Serving
            for part in steps(leaves, self.check):
                values = np.fromiter(part, np.uint64 if dtype == dtypes.UINT64 else wide, len(part))
                array[offset : offset + len(part)] = values
                offset += len(part)
        return array if len(shape) == 1 else array.reshape(shape)

    def walk(self, value: Any, level: int, dtype: int, shape: list[int], leaves: list[Any]) -> None:
        """Collects the leaves, or raises the first error."""
        rank = len(shape)
        if type(value) is not list:
            if level != rank:
                where = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
                raise invalid(f"JSON Value: {debug_string(value)} {where}")
            leaves.append(self._leaf(value, dtype))
            return
        if level >= rank:
            raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
        if len(value) != shape[level]:
            sizes = f"{len(value)} at level: {level} expected size: {shape[level]}"
            raise invalid(f"Encountered list at unexpected size: {sizes}")
        for index, item in enumerate(value):
            if not index % _STEP_VALUES:
                self.check()
            self.walk(item, level + 1, dtype, shape, leaves)

    def _leaf(self, value: Any, dtype: int) -> Any:
        if type(value) is dict:
            if dtype == dtypes.STRING:
                self._count_strings(1)
                return bytes_of(value, self.check)
        elif dtype == dtypes.STRING:
            if type(value) in (str, LongText):
                self._count_strings(1)
                return encoded(value)
        elif dtype in _FLOATS:
            if type(value) in (int, float):
                return value
        elif dtype == dtypes.BOOL:
            if type(value) is bool:
                return value
        elif dtype in _RANGES:
            if type(value) is int and _RANGES[dtype][0] <= value < _RANGES[dtype][1]:
                return value
        else:
            name = dtypes.name_of(dtype)
            raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {debug_string(value)} to type: {name}")
        kinds = f"Type: {type_name(value)} is not of expected type: {dtypes.name_of(dtype)}"
        raise invalid(f"JSON Value: {debug_string(value)} {kinds}")


def _check_rank(shape: list[int]) -> None:
    if len(shape) > _MAX_DIMS:
        raise invalid(f"Arrays of {len(shape)} dimensions are not supported: at most {_MAX_DIMS}")


def shape_of(value: Any) -> list[int]:
    """The shape according to the first elements."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape
