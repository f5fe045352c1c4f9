"""REST's predict requests: JSON to named arrays (tensorflow_serving/util/json_tensor.cc, with its messages).

A request is in rows (`instances`) or in columns (`inputs`). Arrays are filled by numpy where all values are of one
kind; whatever else comes is walked over value by value in TF Serving's order, which finds the words for what is wrong.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server import dtypes
from serving.server.json_text import debug_string, encoded, parse_object, printable, type_name
from serving.server.service import Arrays, TensorInfo

_FLOATS = (dtypes.FLOAT, dtypes.DOUBLE)
# The 8- and 16-bit integers take what an int32 holds, as `int_val` does, and are cut afterwards.
_SMALL = (dtypes.INT32, dtypes.UINT8, dtypes.INT16, dtypes.INT8)
_RANGES = dict.fromkeys(_SMALL, (-(2**31), 2**31)) | {
    dtypes.INT64: (-(2**63), 2**63),
    dtypes.UINT32: (0, 2**32),
    dtypes.UINT64: (0, 2**64),
}
_MAX_DIMS = 32  # of a numpy array


InputsOf = Callable[[str], Mapping[str, TensorInfo]]


def decode_predict(body: bytes, inputs_of: InputsOf, max_depth: int) -> tuple[str, Arrays, bool]:
    """Reads the body of a predict request.

    Args:
        body: JSON.
        inputs_of: the inputs of the signature of that name ("" for the default one).
        max_depth: of the nesting.

    Returns:
        The signature's name, the inputs, and whether they came in rows, as the answer then shall.

    Raises:
        StatusError: INVALID_ARGUMENT, UNIMPLEMENTED (a dtype that JSON has no values for), or what `inputs_of` raises.
    """
    request = parse_object(body, max_depth)
    signature = signature_name(request)
    infos = inputs_of(signature)
    if not infos:
        raise _invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if "instances" in request:
        if "inputs" in request:
            both = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
            raise _invalid(f"JSON Value: {debug_string(request)} {both}")
        rows = request["instances"]
        if type(rows) is not list:
            raise _invalid(f"JSON Value: {debug_string(request)} Expecting 'instances' to be an list/array")
        if not rows:
            raise _invalid(f"JSON Value: {debug_string(request)} No values in 'instances' array")
        return signature, _from_rows(rows, infos), True
    if "inputs" in request:
        return signature, _from_columns(request["inputs"], infos), False
    raise _invalid("Missing 'inputs' or 'instances' key")


def signature_name(request: Mapping[str, Any]) -> str:
    """`signature_name` of a request, "" where it has none.

    Raises:
        StatusError: INVALID_ARGUMENT: it is no string.
    """
    name = request.get("signature_name", "")
    if type(name) is not str:
        wrong = "not formatted correctly. 'signature_name' key must be a string value."
        raise _invalid(f"JSON Value: {debug_string(request)} {wrong}")
    return printable(name)


def is_base64(value: Any) -> bool:
    """Whether the value stands for bytes: an object of nothing but a string under `b64`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def decode_base64(value: Any) -> bytes:
    """The bytes of such an object; standard base64, with its padding or without.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if not is_base64(value):
        raise _invalid(f"JSON Value: {debug_string(value)} not formatted correctly for base64 data")
    digits = "".join(value["b64"].split())
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4) if "=" not in digits else digits, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("Unable to base64 decode") from error


def _invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _from_rows(rows: list[Any], infos: Mapping[str, TensorInfo]) -> Arrays:
    first = rows[0]
    if type(first) is not dict and len(infos) > 1:
        need = "instances is a plain list, but expecting list of objects as multiple input tensors required"
        raise _invalid(f"{need} as per tensorinfo_map")
    if type(first) is not dict or is_base64(first):
        name, info = next(iter(infos.items()))
        array = _filled(rows, info.dtype)
        return {name: _walked_rows(rows, info.dtype) if array is None else array}
    arrays = {}
    if all(type(row) is dict and row.keys() == infos.keys() for row in rows):
        for name, info in infos.items():
            array = _filled([row[name] for row in rows], info.dtype)
            if array is None:
                break
            arrays[name] = array
    return arrays if len(arrays) == len(infos) else _walked_objects(rows, infos)


def _from_columns(value: Any, infos: Mapping[str, TensorInfo]) -> Arrays:
    if type(value) is not dict or is_base64(value):
        if len(infos) > 1:
            need = "inputs is a plain value/list, but expecting an object as multiple input tensors required"
            raise _invalid(f"{need} as per tensorinfo_map")
        name, info = next(iter(infos.items()))
        return {name: _array(value, info.dtype)}
    for name in infos:
        if name not in value:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(value[name], info.dtype) for name, info in infos.items()}


def _array(value: Any, dtype: int) -> np.ndarray:
    array = _filled(value, dtype)
    if array is not None:
        return array
    shape = _shape(value)
    leaves: list[Any] = []
    _walk(value, 0, dtype, shape, leaves)
    return _made(leaves, dtype, shape)


def _filled(value: Any, dtype: int) -> np.ndarray | None:
    """The array of a regular value whose leaves are of the dtype's kind, None for any other."""
    shape = _shape(value)
    leaves = value if shape else [value]
    for size in shape[1:]:
        if not all(type(item) is list and len(item) == size for item in leaves):
            return None
        leaves = list(chain.from_iterable(leaves))
    kinds = set(map(type, leaves))
    if dtype == dtypes.STRING:
        return _made(list(map(encoded, leaves)), dtype, shape) if kinds <= {str} else None
    if dtype in _FLOATS:
        return _made(leaves, dtype, shape) if kinds <= {int, float} else None
    if dtype == dtypes.BOOL:
        return _made(leaves, dtype, shape) if kinds <= {bool} else None
    if dtype not in _RANGES or not kinds <= {int}:
        return None
    low, high = _RANGES[dtype]
    return _made(leaves, dtype, shape) if not leaves or (min(leaves) >= low and max(leaves) < high) else None


def _made(leaves: list[Any], dtype: int, shape: list[int]) -> np.ndarray:
    if len(shape) > _MAX_DIMS:
        raise _invalid(f"Arrays of {len(shape)} dimensions are not supported: at most {_MAX_DIMS}")
    if dtype == dtypes.STRING:
        array = np.empty(len(leaves), object)
        array[:] = leaves
    elif dtype in _RANGES:
        wide = np.uint64 if dtype == dtypes.UINT64 else np.int64
        array = np.fromiter(leaves, wide, len(leaves)).astype(dtypes.NUMPY[dtype], copy=False)
    elif dtype in (*_FLOATS, dtypes.BOOL):
        with np.errstate(over="ignore"):  # what a float cannot hold is an infinity, as in TF Serving
            array = np.fromiter(leaves, np.bool_ if dtype == dtypes.BOOL else np.float64, len(leaves))
            array = array.astype(dtypes.NUMPY[dtype], copy=False)
    else:  # only without leaves: any value of such a dtype has been refused
        name = dtypes.name_of(dtype)
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: [] to type: {name}")
    return array if len(shape) == 1 else array.reshape(shape)


def _shape(value: Any) -> list[int]:
    """The shape that the first elements tell."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _walk(value: Any, level: int, dtype: int, shape: list[int], leaves: list[Any]) -> None:
    """Collects the leaves, or says what is the first thing wrong."""
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            where = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
            raise _invalid(f"JSON Value: {debug_string(value)} {where}")
        leaves.append(_leaf(value, dtype))
        return
    if level >= rank:
        raise _invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        sizes = f"{len(value)} at level: {level} expected size: {shape[level]}"
        raise _invalid(f"Encountered list at unexpected size: {sizes}")
    for item in value:
        _walk(item, level + 1, dtype, shape, leaves)


def _leaf(value: Any, dtype: int) -> Any:
    if type(value) is dict:
        if dtype == dtypes.STRING:
            return decode_base64(value)
    elif dtype == dtypes.STRING:
        if type(value) is str:
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
    raise _invalid(f"JSON Value: {debug_string(value)} {kinds}")


class _Column:
    """One input, gathered row by row: every row must have the size and the shape of the first."""

    def __init__(self, dtype: int) -> None:
        self.dtype, self.shape, self.size = dtype, [0], -1
        self.leaves: list[Any] = []

    def add(self, value: Any) -> None:
        shape = _shape(value)
        leaves: list[Any] = []
        _walk(value, 0, self.dtype, shape, leaves)
        if self.size < 0:
            self.size, self.shape = len(leaves), shape
        elif len(leaves) != self.size:
            raise _invalid(f"Expecting tensor size: {self.size} but got: {len(leaves)}")
        elif shape != self.shape:
            raise _invalid(f"Expecting shape {_bracketed(self.shape)} but got: {_bracketed(shape)}")
        self.leaves += leaves

    def array(self, rows: int) -> np.ndarray:
        return _made(self.leaves, self.dtype, [rows, *self.shape])


def _bracketed(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _walked_rows(rows: list[Any], dtype: int) -> np.ndarray:
    column = _Column(dtype)
    for number, row in enumerate(rows):
        if type(row) is dict and not is_base64(row):
            raise _invalid(f"Expecting value/list but got object at item {number} of input list")
        try:
            column.add(row)
        except StatusError as error:
            where = f"Failed to process element: {number} of 'instances' list."
            raise _invalid(f"{where} Error: {error.code.name}: {error.message}") from error
    return column.array(len(rows))


def _walked_objects(rows: list[Any], infos: Mapping[str, TensorInfo]) -> Arrays:
    columns = {name: _Column(info.dtype) for name, info in infos.items()}
    for number, row in enumerate(rows):
        if type(row) is not dict or is_base64(row):
            raise _invalid(f"Expecting object but got list at item {number} of input list")
        for name, value in row.items():
            try:
                if name not in columns:
                    raise _invalid(f"JSON object: does not have named input: {printable(name)}")
                columns[name].add(value)
            except StatusError as error:
                where = f"Failed to process element: {number} key: {printable(name)} of 'instances' list."
                raise _invalid(f"{where} Error: {error.code.name}: {error.message}") from error
        if row.keys() != columns.keys():
            names = f"keys must be equal to: {','.join(sorted(columns))}"
            what = f"Failed to process element: {number} of 'instances' list."
            raise _invalid(f"{what} JSON object: {debug_string(row)} {names}")
    return {name: column.array(len(rows)) for name, column in columns.items()}
