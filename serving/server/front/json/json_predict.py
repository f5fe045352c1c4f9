"""REST's predict requests: JSON to named arrays (tensorflow_serving/util/json_tensor.cc, with its messages).

A request is in rows (`instances`) or in columns (`inputs`). Regular ones are gathered column by column. Any other is
walked row by row in TF Serving's order, to find the right error message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.errors import StatusError
from serving.server.calls.request_limits import Limits
from serving.server.calls.service_interface import Arrays
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_arrays import ArrayBuilder, is_base64, shape_of, steps
from serving.server.front.json.json_error_text import debug_string, invalid, printable
from serving.server.front.json.json_parsing import parsed_object
from serving.server.front.json.json_strings import TEXTS

_NAME_CHARACTERS = 1024
_STEP_ROWS = 256

InputsOf = Callable[[str], Mapping[str, int]]


def decode_predict(
    body: bytes, inputs_of: InputsOf, limits: Limits, check: Check = unchecked
) -> tuple[str, Arrays, bool]:
    """Decodes the body of a predict request.

    Args:
        body: JSON. More than `INLINE_BYTES` take long: decode them in a thread.
        inputs_of: returns the dtypes of a signature's inputs by name ("" for the default); called in the same thread.
        limits: of the document (see `parsed_object`) and of the inputs.
        check: called every few milliseconds; an exception from it ends the work.

    Returns:
        The signature's name, the inputs, and whether they came in rows, as the response then must.

    Raises:
        StatusError: INVALID_ARGUMENT, UNIMPLEMENTED (a dtype that JSON has no values for), RESOURCE_EXHAUSTED, or an
            error of `inputs_of`.
    """
    with parsed_object(body, limits, check) as request:
        return _decode(request, inputs_of, ArrayBuilder(limits, check))


def _decode(request: dict[str, Any], inputs_of: InputsOf, builder: ArrayBuilder) -> tuple[str, Arrays, bool]:
    signature = signature_name(request)
    dtypes = inputs_of(signature)
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if "instances" in request:
        if "inputs" in request:
            both = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
            raise invalid(f"JSON Value: {debug_string(request)} {both}")
        rows = request["instances"]
        if type(rows) is not list:
            raise invalid(f"JSON Value: {debug_string(request)} Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid(f"JSON Value: {debug_string(request)} No values in 'instances' array")
        return signature, _from_rows(rows, dtypes, builder), True
    if "inputs" in request:
        return signature, _from_columns(request["inputs"], dtypes, builder), False
    raise invalid("Missing 'inputs' or 'instances' key")


def signature_name(request: Mapping[str, Any]) -> str:
    """The `signature_name` of a request, "" if it has none, cut if it is too long for any signature.

    Raises:
        StatusError: INVALID_ARGUMENT: it is not a string.
    """
    name = request.get("signature_name", "")
    if not isinstance(name, TEXTS):
        wrong = "not formatted correctly. 'signature_name' key must be a string value."
        raise invalid(f"JSON Value: {debug_string(request)} {wrong}")
    return printable(name, _NAME_CHARACTERS)


def _from_rows(rows: list[Any], dtypes: Mapping[str, int], builder: ArrayBuilder) -> Arrays:
    first = rows[0]
    if type(first) is not dict and len(dtypes) > 1:
        need = "instances is a plain list, but expecting list of objects as multiple input tensors required"
        raise invalid(f"{need} as per tensorinfo_map")
    if type(first) is not dict or is_base64(first):
        name, dtype = next(iter(dtypes.items()))
        array = builder.from_regular(rows, dtype)
        return {name: _walked_rows(rows, dtype, builder) if array is None else array}
    arrays = {}
    names = dtypes.keys()
    if all(type(row) is dict and row.keys() == names for part in steps(rows, builder.check) for row in part):
        for name, dtype in dtypes.items():
            array = builder.from_regular([row[name] for row in rows], dtype)
            if array is None:
                break
            arrays[name] = array
    if len(arrays) == len(dtypes):
        return arrays
    builder.restart()
    return _walked_objects(rows, dtypes, builder)


def _from_columns(value: Any, dtypes: Mapping[str, int], builder: ArrayBuilder) -> Arrays:
    if type(value) is not dict or is_base64(value):
        if len(dtypes) > 1:
            need = "inputs is a plain value/list, but expecting an object as multiple input tensors required"
            raise invalid(f"{need} as per tensorinfo_map")
        name, dtype = next(iter(dtypes.items()))
        return {name: builder.from_value(value, dtype)}
    for name in dtypes:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: builder.from_value(value[name], dtype) for name, dtype in dtypes.items()}


class _Column:
    """One input, gathered row by row: each row must have the size and shape of the first."""

    def __init__(self, dtype: int, builder: ArrayBuilder) -> None:
        self.dtype, self.builder = dtype, builder
        self.shape, self.size = [0], -1
        self.leaves: list[Any] = []

    def add(self, value: Any) -> None:
        shape = shape_of(value)
        leaves: list[Any] = []
        self.builder.walk(value, 0, self.dtype, shape, leaves)
        if self.size < 0:
            self.size, self.shape = len(leaves), shape
        elif len(leaves) != self.size:
            raise invalid(f"Expecting tensor size: {self.size} but got: {len(leaves)}")
        elif shape != self.shape:
            raise invalid(f"Expecting shape {_bracketed(self.shape)} but got: {_bracketed(shape)}")
        self.leaves += leaves

    def array(self, rows: int) -> np.ndarray:
        return self.builder.from_leaves(self.leaves, self.dtype, [rows, *self.shape])


def _bracketed(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _walked_rows(rows: list[Any], dtype: int, builder: ArrayBuilder) -> np.ndarray:
    column = _Column(dtype, builder)
    for index, row in enumerate(rows):
        if not index % _STEP_ROWS:
            builder.check()
        if type(row) is dict and not is_base64(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        try:
            column.add(row)
        except StatusError as error:
            where = f"Failed to process element: {index} of 'instances' list."
            raise invalid(f"{where} Error: {error.code.name}: {error.message}") from error
    return column.array(len(rows))


def _walked_objects(rows: list[Any], dtypes: Mapping[str, int], builder: ArrayBuilder) -> Arrays:
    columns = {name: _Column(dtype, builder) for name, dtype in dtypes.items()}
    for index, row in enumerate(rows):
        if not index % _STEP_ROWS:
            builder.check()
        if type(row) is not dict or is_base64(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        for name, value in row.items():
            try:
                if name not in columns:
                    raise invalid(f"JSON object: does not have named input: {printable(name)}")
                columns[name].add(value)
            except StatusError as error:
                where = f"Failed to process element: {index} key: {printable(name)} of 'instances' list."
                raise invalid(f"{where} Error: {error.code.name}: {error.message}") from error
        if row.keys() != columns.keys():
            names = f"keys must be equal to: {','.join(sorted(columns))}"
            what = f"Failed to process element: {index} of 'instances' list."
            raise invalid(f"{what} JSON object: {debug_string(row)} {names}")
    return {name: column.array(len(rows)) for name, column in columns.items()}
