"""REST's answers: arrays and results to JSON (tensorflow_serving/util/json_tensor.cc, with its messages).

They are compact; TF Serving's are indented. Floats have the fewest digits that give the same number again; those that
are not finite are NaN, Infinity and -Infinity, which are no JSON, as in TF Serving.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import orjson

from serving.errors import Code, StatusError
from serving.server import dtypes
from serving.server.service import Arrays

_NO_JSON = (0, dtypes.COMPLEX64, dtypes.COMPLEX128, dtypes.HALF, dtypes.BFLOAT16, dtypes.UINT16)  # 0: no such dtype
_BYTES_SUFFIX = "_bytes"


def encode_predict(outputs: Arrays, in_rows: bool) -> bytes:
    """The answer's JSON. A single output stands for itself; strings whose name ends in `_bytes` are `{"b64": ...}`.

    Raises:
        StatusError: INVALID_ARGUMENT: no outputs, a dtype without JSON, or rows asked for and the outputs have none
            or different numbers of them.
    """
    if not outputs:
        raise _invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        kind = dtypes.NUMBER.get(array.dtype, 0)
        if kind in _NO_JSON and array.size:
            raise _invalid(f"Failed to write JSON value for tensor type: {dtypes.name_of(kind)}")
    if in_rows:
        _check_rows(outputs)
    values = {name: _jsonable(name, array) for name, array in outputs.items()}
    answer: Any
    if len(values) == 1:
        answer = next(iter(values.values()))
    elif in_rows:
        names = tuple(values)
        answer = [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        answer = values
    document = {"predictions" if in_rows else "outputs": answer}
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values()):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()


def encode_classifications(result: Any) -> bytes:
    """`{"results": [[[label, score], ...], ...]}` of a `ClassificationResult`.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not result.classifications:
        raise _invalid("Cannot convert empty ClassificationResults to JSON")
    rows = [[[item.label, _float(item.score)] for item in row.classes] for row in result.classifications]
    return _dumps(rows)


def encode_regressions(result: Any) -> bytes:
    """`{"results": [value, ...]}` of a `RegressionResult`.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not result.regressions:
        raise _invalid("Cannot convert empty RegressionResults to JSON")
    return _dumps([_float(item.value) for item in result.regressions])


def _invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _check_rows(outputs: Arrays) -> None:
    rows = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, len(array)):
            raise _invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)


def _jsonable(name: str, array: np.ndarray) -> Any:
    """What orjson can write, or `json` with `_plain`: strings as lists, all else as it is."""
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
    """An array or scalar of numpy for `json`; a float32 as the double with the same shortest digits."""
    if value.dtype == np.float32:
        flat = [float(str(item)) for item in value.ravel()]
        return np.array(flat).reshape(value.shape).tolist()
    return value.tolist()


def _dumps(rows: list[Any]) -> bytes:
    return json.dumps({"results": rows}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _float(value: float) -> float:
    """The double with the fewest digits that are this float32."""
    return float(str(np.float32(value))) if math.isfinite(value) else value
