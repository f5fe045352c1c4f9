"""REST's responses: arrays and results to JSON (tensorflow_serving/util/json_tensor.cc, with its messages).

They are compact; TF Serving's are indented. Floats have the fewest digits that round-trip. As in TF Serving, non-finite
ones are NaN, Infinity and -Infinity, which are not JSON. Large responses are written in steps.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson

from serving.server.calls.service_interface import Arrays
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_error_text import invalid
from serving.server.front.json.json_strings import base64_in_steps, decoded_in_steps
from serving.wire import dtypes

_NO_JSON = (0, dtypes.COMPLEX64, dtypes.COMPLEX128, dtypes.HALF, dtypes.BFLOAT16, dtypes.UINT16)  # 0: no such dtype
_BYTES_SUFFIX = "_bytes"
_STEP_VALUES = 2**14
_STEP_BYTES = 2**18  # of strings


def encode_predict(outputs: Arrays, in_rows: bool, check: Check = unchecked) -> bytes:
    """The JSON of a response. A single output is not named; strings of `*_bytes` outputs are `{"b64": ...}`.

    Args:
        outputs: more than about ten thousand values take long: encode them in a thread.
        in_rows: whether the request was in rows.
        check: called every few milliseconds; an exception from it ends the work.

    Raises:
        StatusError: INVALID_ARGUMENT: no outputs, a dtype without JSON, or, with `in_rows`, outputs without rows or
            with different numbers of them.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        kind = dtypes.NUMBER.get(array.dtype, 0)
        if kind in _NO_JSON and array.size:
            raise invalid(f"Failed to write JSON value for tensor type: {dtypes.name_of(kind)}")
    if in_rows:
        _check_rows(outputs)
    key = "predictions" if in_rows else "outputs"
    if _is_small(outputs.values()):
        return _dump(outputs.values(), {key: _content(outputs, in_rows)})
    written = io.BytesIO()
    written.write(b'{"%b":' % key.encode())
    written.writelines(_pieces(outputs, in_rows, check))
    written.write(b"}")
    return written.getvalue()


def encode_classifications(result: Any, check: Check = unchecked) -> bytes:
    """`{"results": [[[label, score], ...], ...]}` of a `ClassificationResult`.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = ([[item.label, _float(item.score)] for item in row.classes] for row in result.classifications)
    return _results(rows, check)


def encode_regressions(result: Any, check: Check = unchecked) -> bytes:
    """`{"results": [value, ...]}` of a `RegressionResult`.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _results((_float(item.value) for item in result.regressions), check)


def _check_rows(outputs: Arrays) -> None:
    rows = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)


def _is_small(arrays: Iterable[np.ndarray]) -> bool:
    """Whether arrays have few enough values, and short enough strings, to be written at once."""
    values = size = 0
    for array in arrays:
        values += array.size or (len(array) if array.ndim else 0)
        if values > _STEP_VALUES:
            return False
        if array.dtype.kind == "O":
            size += sum(map(_size, array.flat))
    return size <= _STEP_BYTES


def _size(value: Any) -> int:
    return len(value) if isinstance(value, bytes) else 0


def _content(outputs: Arrays, in_rows: bool) -> Any:
    values = {name: _jsonable(name, array) for name, array in outputs.items()}
    if len(values) == 1:
        return next(iter(values.values()))
    if in_rows:
        names = tuple(values)
        return [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return values


def _dump(arrays: Iterable[np.ndarray], document: Any) -> bytes:
    """The JSON of arrays, from the `document` that `_content` returned for them."""
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()


def _pieces(outputs: Arrays, in_rows: bool, check: Check) -> Iterator[bytes]:
    """The JSON of large outputs: a list of rows, or an object of columns."""
    if in_rows or len(outputs) == 1:
        yield from _list(outputs, check)
        return
    yield from _object(outputs, check)


def _object(outputs: Arrays, check: Check) -> Iterator[bytes]:
    for number, (name, array) in enumerate(outputs.items()):
        yield (b"," if number else b"{") + orjson.dumps(name) + b":"
        yield from _list({name: array}, check)
    yield b"}"


def _list(outputs: Arrays, check: Check) -> Iterator[bytes]:
    """Arrays with equally many rows, row by row: each row is an object, or just the value if there is one array."""
    name, first = next(iter(outputs.items()))
    if not first.ndim:
        yield from _scalar(name, first[()], check)
        return
    yield b"["
    begin = 0
    while begin < len(first):
        check()
        end = _step_end(outputs, begin)
        part = {name: array[begin:end] for name, array in outputs.items()}
        if begin:
            yield b","
        if _is_small(part.values()):
            yield _dump(part.values(), _content(part, True))[1:-1]
        else:  # a single row
            row = {name: np.asarray(array[0], array.dtype) for name, array in part.items()}
            yield from _list(row, check) if len(row) == 1 else _object(row, check)
        begin = end
    yield b"]"


def _step_end(outputs: Arrays, begin: int) -> int:
    """The end of the rows from `begin` on that are written at once."""
    first = next(iter(outputs.values()))
    values = sum(array.size for array in outputs.values()) // len(first)
    end = min(begin + max(_STEP_VALUES // max(values, 1), 1), len(first))
    strings = [array for array in outputs.values() if array.dtype.kind == "O"]
    size = 0
    for row in range(begin, end if strings else begin):
        size += sum(_size(item) for array in strings for item in array[row : row + 1].flat)
        if size > _STEP_BYTES:
            return max(row, begin + 1)
    return end


def _scalar(name: str, value: Any, check: Check) -> Iterator[bytes]:
    if not isinstance(value, bytes) or len(value) <= _STEP_BYTES:
        array = np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
        yield _dump([array], _jsonable(name, array))
    elif name.endswith(_BYTES_SUFFIX):
        yield b'{"b64":"'
        yield from base64_in_steps(value, check)
        yield b'"}'
    else:
        yield b'"'
        for text in decoded_in_steps(value, check):
            yield orjson.dumps(text)[1:-1]
        yield b'"'


def _jsonable(name: str, array: np.ndarray) -> Any:
    """A value for orjson, or for `json` with `_plain`: strings as lists, anything else unchanged."""
    if array.dtype.kind == "O":
        text = _b64 if name.endswith(_BYTES_SUFFIX) else _text
        if array.ndim == 1:
            return [text(item) for item in array]
        flat = np.empty(array.size, object)
        flat[:] = [text(item) for item in array.flat]
        return flat.reshape(array.shape).tolist()
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _plain(value: Any) -> Any:
    """A numpy array or scalar for `json`; a float32 becomes the double with the same shortest digits."""
    if value.dtype == np.float32:
        flat = [float(str(item)) for item in value.ravel()]
        return np.array(flat).reshape(value.shape).tolist()
    return value.tolist()


def _results(rows: Iterable[Any], check: Check) -> bytes:
    """`{"results": [...]}` of rows, which are numbers or lists."""
    written = io.BytesIO()
    written.write(b'{"results":')
    written.writelines(_list_in_steps(rows, check))
    written.write(b"}")
    return written.getvalue()


def _list_in_steps(rows: Iterable[Any], check: Check) -> Iterator[bytes]:
    """The JSON of a list, about `_STEP_VALUES` values at a time."""
    step: list[Any] = []
    values, separator = 0, b"["
    for row in rows:
        size = len(row) if isinstance(row, list) else 1
        if step and values + size > _STEP_VALUES:
            check()
            yield separator + _rows(step)
            step, values, separator = [], 0, b","
        if size > _STEP_VALUES:
            yield separator
            yield from _list_in_steps(row, check)
            separator = b","
        else:
            step.append(row)
            values += size
    yield separator + _rows(step) + b"]" if step else b"]"


def _rows(rows: list[Any]) -> bytes:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")[1:-1]


def _float(value: float) -> float:
    """The double with the fewest digits that round to this float32."""
    return float(str(np.float32(value))) if math.isfinite(value) else value
