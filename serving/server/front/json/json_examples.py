"""REST's classify and regress requests: JSON to lists of `tf.Example` (tensorflow_serving/util/json_tensor.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.server.calls.budget import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_arrays import bytes_of, invalid, is_base64, steps
from serving.server.front.json.json_debug import debug_string, printable, type_name, without_surrogates
from serving.server.front.json.json_parsing import parsed_object
from serving.server.front.json.json_strings import TEXTS, LongText, encoded
from serving.server.front.json.json_tensor import signature_name

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_STEP_ROWS = 64
_STEP_FEATURES = 1024
_FEATURE_BYTES = 256  # what a feature takes besides its values


def fill_examples(body: bytes, request: Any, limits: Limits, check: Check = unchecked) -> None:
    """Reads `signature_name`, `context` and `examples` into a `ClassificationRequest` or `RegressionRequest`.

    Args:
        body: JSON. One of more than `INLINE_BYTES` takes long: read it in a thread.
        request: is filled.
        limits: of the document (see `parsed_object`), and of its examples.
        check: called every few milliseconds; what it raises ends the reading.

    Raises:
        StatusError: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
    """
    with parsed_object(body, limits, check) as document:
        if "signature_name" in document:
            request.model_spec.signature_name = signature_name(document)
        examples = request.input.example_list.examples
        if "context" in document:
            with_context = request.input.example_list_with_context
            _fill(document["context"], with_context.context, limits, check)
            examples = with_context.examples
        rows = _rows(document)
        if len(rows) > limits.max_rows:
            got = f"The request has {len(rows)} examples"
            raise invalid(f"{got}; at most {limits.max_rows} are allowed (--max_request_rows)")
        limits.take(len(body), len(rows))
        for some in steps(rows, check, _STEP_ROWS):
            for row in some:
                _fill(row, examples.add(), limits, check)


def _rows(document: dict[str, Any]) -> list[Any]:
    if "examples" not in document:
        wrong = "When method is classify, key 'examples' is expected and was not found"
        raise invalid(f"JSON Value: {debug_string(document)} {wrong}")
    rows = document["examples"]
    if type(rows) is not list:
        raise invalid(f"JSON Value: {debug_string(document)} Expecting 'examples' value to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {debug_string(document)} 'examples' value is an empty array")
    return rows


def _fill(value: Any, example: Any, limits: Limits, check: Check) -> None:
    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    limits.take(_FEATURE_BYTES * len(value), 0)
    features = example.features.feature
    for number, (name, content) in enumerate(value.items()):
        if number % _STEP_FEATURES == _STEP_FEATURES - 1:
            check()
        feature = features[without_surrogates(name)]
        feature.Clear()
        for part in steps(content if type(content) is list else [content], check):
            _add_all(part, name, feature, check)


def _add_all(values: Sequence[Any], name: str, feature: Any, check: Check) -> None:
    """Adds values at once where they are of one kind, else one by one."""
    kinds = set(map(type, values))
    if kinds == {float}:
        with np.errstate(over="ignore"):
            floats = np.array(values, np.float64).astype(np.float32).tolist()
        _of("float_list", name, feature).extend(floats)
    elif kinds and kinds <= {bool, int} and min(values) >= -(2**63) and max(values) < 2**63:
        _of("int64_list", name, feature).extend(map(int, values))
    elif kinds and kinds <= {str, LongText}:
        _of("bytes_list", name, feature).extend(map(encoded, values))
    else:
        for value in values:
            _add(value, name, feature, check)


def _add(value: Any, name: str, feature: Any, check: Check) -> None:
    """Adds one value, of the kind that the feature's first value had."""
    if type(value) in (bool, int):
        if type(value) is int and not -(2**63) <= value < 2**63:  # the parser makes no int of less than -(2**63)
            _check_kind("int64_list", name, feature)
            raise invalid(f"Feature: {printable(name)} has uint64_t element. Only int64_t is supported.")
        _of("int64_list", name, feature).append(int(value))
    elif type(value) is float:
        with np.errstate(over="ignore"):
            _of("float_list", name, feature).append(float(np.float32(value)))
    elif type(value) in TEXTS:
        _of("bytes_list", name, feature).append(encoded(value))
    elif is_base64(value):
        _of("bytes_list", name, feature).append(bytes_of(value, check))
    else:
        raise invalid(f"Feature: {printable(name)} has element with unexpected JSON type: {type_name(value)}")


def _of(kind: str, name: str, feature: Any) -> Any:
    _check_kind(kind, name, feature)
    return getattr(feature, kind).value


def _check_kind(kind: str, name: str, feature: Any) -> None:
    got = feature.WhichOneof("kind")
    if got not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {printable(name)} expecting type: {_KINDS[got]}")
