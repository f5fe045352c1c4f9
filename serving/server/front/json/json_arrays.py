"""JSON values become arrays (tensorflow_serving/util/json_tensor.cc, with its messages).

NumPy fills them where all values are of one kind; whatever else comes is walked over value by value in TF Serving's
order, which finds the words for what is wrong. Both go in steps: a value may have millions of others in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.budget import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_debug import debug_string, type_name
from serving.server.front.json.json_strings import LongText, decode_base64, encoded
from serving.wire import dtypes

_FLOATS = (dtypes.FLOAT, dtypes.DOUBLE)
# The 8- and 16-bit integers take what an int32 holds, as `int_val` does, and are cut afterwards.
_SMALL = (dtypes.INT32, dtypes.UINT8, dtypes.INT16, dtypes.INT8)
_RANGES = dict.fromkeys(_SMALL, (-(2**31), 2**31)) | {
    dtypes.INT64: (-(2**63), 2**63),
    dtypes.UINT32: (0, 2**32),
    dtypes.UINT64: (0, 2**64),
}
_MAX_DIMS = 32  # of a numpy array
_STEP_VALUES = 2**14
_STRING_BYTES = 48  # what a string takes besides its own bytes


def is_base64(value: Any) -> bool:
    """Whether the value stands for bytes: an object of nothing but a string under `b64`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) in (str, LongText)


def bytes_of(value: Any, check: Check = unchecked) -> bytes:
    """The bytes for which such an object stands.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {debug_string(value)} not formatted correctly for base64 data")
    return decode_base64(value["b64"], check)


def invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def steps(values: Sequence[Any], check: Check, size: int = _STEP_VALUES) -> Iterator[Sequence[Any]]:
    """The values in order, `size` at a time, with a `check` before all but the first of them."""
    if len(values) <= size:
        yield values
        return
    for begin in range(0, len(values), size):
        if begin:
            check()
        yield values[begin : begin + size]


class ArrayMaker:
    """Makes the arrays of one request, and counts them.

    Args:
        limits: of their bytes, and of the strings in all of them; what each takes is taken before it is made.
        check: called between the steps.
    """

    def __init__(self, limits: Limits, check: Check) -> None:
        self.check = check
        self._limits = limits
        self._strings = self._bytes = self._rows = 0
        self._taken_bytes = self._taken_rows = 0

    def restart(self) -> None:
        """The arrays made so far are dropped, and all are made anew."""
        self._strings = self._bytes = self._rows = 0

    def of_value(self, value: Any, dtype: int) -> np.ndarray:
        """The array of a value.

        Raises:
            StatusError: INVALID_ARGUMENT; UNIMPLEMENTED: JSON has no values of the dtype; what `take` raises.
        """
        array = self.filled(value, dtype)
        if array is not None:
            return array
        shape = shape_of(value)
        leaves: list[Any] = []
        self.walk(value, 0, dtype, shape, leaves)
        return self.made(leaves, dtype, shape)

    def filled(self, value: Any, dtype: int) -> np.ndarray | None:
        """The array of a regular value whose leaves are of the dtype's kind, None for any other."""
        shape = shape_of(value)
        leaves = value if shape else [value]
        for size in shape[1:]:
            for part in steps(leaves, self.check):
                if not all(type(item) is list and len(item) == size for item in part):
                    return None
            leaves = leaves[0] if len(leaves) == 1 else self._joined(leaves, size)
        kinds: set[type] = set()
        for part in steps(leaves, self.check):
            kinds.update(map(type, part))
        if dtype == dtypes.STRING:
            return self._strings_of(leaves, shape) if kinds <= {str, LongText} else None
        if dtype in _FLOATS:
            return self.made(leaves, dtype, shape) if kinds <= {int, float} else None
        if dtype == dtypes.BOOL:
            return self.made(leaves, dtype, shape) if kinds <= {bool} else None
        if dtype not in _RANGES or not kinds <= {int}:
            return None
        low, high = _RANGES[dtype]
        for part in steps(leaves, self.check):
            if part and not (min(part) >= low and max(part) < high):
                return None
        return self.made(leaves, dtype, shape)

    def _joined(self, lists: Sequence[list[Any]], size: int) -> list[Any]:
        """The elements of lists of one size."""
        joined: list[Any] = []
        for some in steps(lists, self.check, max(1, _STEP_VALUES // max(size, 1))):
            for part in steps(some[0], self.check) if len(some) == 1 else (chain.from_iterable(some),):
                joined.extend(part)
        return joined

    def _strings_of(self, leaves: Sequence[Any], shape: list[int]) -> np.ndarray:
        self._count(len(leaves))
        return self._of_bytes([encoded(leaf) for leaf in leaves], shape)

    def _count(self, strings: int) -> None:
        self._strings += strings
        if self._strings > self._limits.max_rows:
            got = f"The request has {self._strings} strings or more"
            raise invalid(f"{got}; at most {self._limits.max_rows} are allowed (--max_request_rows)")

    def _make(self, size: int, rows: int) -> None:
        """Takes, of an array's bytes and strings, what has not been taken for those of an earlier start."""
        self._bytes, self._rows = self._bytes + size, self._rows + rows
        if self._bytes > self._limits.max_bytes:
            got = f"The request's tensors take {self._bytes} bytes or more"
            raise invalid(f"{got}; at most {self._limits.max_bytes} are allowed (--max_message_bytes)")
        size = max(self._bytes + self._rows * _STRING_BYTES - self._taken_bytes, 0)
        rows = max(self._rows - self._taken_rows, 0)
        if size or rows:
            self._limits.take(size, rows)
            self._taken_bytes, self._taken_rows = self._taken_bytes + size, self._taken_rows + rows

    def _of_bytes(self, leaves: list[bytes], shape: list[int]) -> np.ndarray:
        _check_rank(shape)
        self._make(sum(map(len, leaves)), len(leaves))
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array if len(shape) == 1 else array.reshape(shape)

    def made(self, leaves: Sequence[Any], dtype: int, shape: list[int]) -> np.ndarray:
        """The array of leaves that fit the dtype."""
        _check_rank(shape)
        if dtype == dtypes.STRING:
            return self._of_bytes(list(leaves), shape)
        if dtype not in _RANGES and dtype not in (*_FLOATS, dtypes.BOOL):
            # Only without leaves: any value of such a dtype has been refused.
            name = dtypes.name_of(dtype)
            raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: [] to type: {name}")
        wide = np.float64 if dtype in _FLOATS else np.bool_ if dtype == dtypes.BOOL else np.int64
        array = np.empty(len(leaves), dtypes.NUMPY[dtype])
        self._make(array.nbytes, 0)
        place = 0
        with np.errstate(over="ignore"):  # what a float cannot hold is an infinity, as in TF Serving
            for part in steps(leaves, self.check):
                values = np.fromiter(part, np.uint64 if dtype == dtypes.UINT64 else wide, len(part))
                array[place : place + len(part)] = values
                place += len(part)
        return array if len(shape) == 1 else array.reshape(shape)

    def walk(self, value: Any, level: int, dtype: int, shape: list[int], leaves: list[Any]) -> None:
        """Collects the leaves, or says what is the first thing wrong."""
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
        for number, item in enumerate(value):
            if not number % _STEP_VALUES:
                self.check()
            self.walk(item, level + 1, dtype, shape, leaves)

    def _leaf(self, value: Any, dtype: int) -> Any:
        if type(value) is dict:
            if dtype == dtypes.STRING:
                self._count(1)
                return bytes_of(value, self.check)
        elif dtype == dtypes.STRING:
            if type(value) in (str, LongText):
                self._count(1)
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
    """The shape that the first elements tell."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape
