"""REST's classify and regress requests: JSON to `tf.Example`s (tensorflow_serving/util/json_tensor.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_arrays import bytes_of, is_base64, steps
from serving.server.front.json.json_error_text import debug_string, invalid, printable, type_name, without_surrogates
from serving.server.front.json.json_parsing import parsed_object
from serving.server.front.json.json_predict import signature_name
from serving.server.front.json.json_strings import TEXTS, LongText, encoded

_KIND_NAMES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_STEP_ROWS = 64
_STEP_FEATURES = 1024
_FEATURE_BYTES = 256  # overhead of a feature


def fill_examples(body: bytes, request: Any, limits: Limits, check: Check = unchecked) -> None:
    """Decodes `signature_name`, `context` and `examples` into a `ClassificationRequest` or `RegressionRequest`.

    Args:
        body: JSON. More than `INLINE_BYTES` take long: decode them in a thread.
        request: is filled.
        limits: of the document (see `parsed_object`) and of its examples.
        check: called every few milliseconds; an exception from it ends the work.

    Raises:
        StatusError: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
    """
    with parsed_object(body, limits, check) as document:
        if "signature_name" in document:
            request.model_spec.signature_name = signature_name(document)
        examples = request.input.example_list.examples
        if "context" in document:
            with_context = request.input.example_list_with_context
            _fill_example(document["context"], with_context.context, limits, check)
            examples = with_context.examples
        rows = _rows(document)
        if len(rows) > limits.max_rows:
            got = f"The request has {len(rows)} examples"
            raise invalid(f"{got}; at most {limits.max_rows} are allowed (--max_request_rows)")
        limits.take(len(body), len(rows))
        for group in steps(rows, check, _STEP_ROWS):
            for row in group:
                _fill_example(row, examples.add(), limits, check)


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


def _fill_example(value: Any, example: Any, limits: Limits, check: Check) -> None:
    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    limits.take(_FEATURE_BYTES * len(value), 0)
    features = example.features.feature
    for index, (name, content) in enumerate(value.items()):
        if index % _STEP_FEATURES == _STEP_FEATURES - 1:
            check()
        feature = features[without_surrogates(name)]
        feature.Clear()
        for part in steps(content if type(content) is list else [content], check):
            _add_values(part, name, feature, check)


def _add_values(values: Sequence[Any], name: str, feature: Any, check: Check) -> None:
    """Adds values at once if they are of one kind, else one by one."""
    kinds = set(map(type, values))
    if kinds == {float}:
        with np.errstate(over="ignore"):
            floats = np.array(values, np.float64).astype(np.float32).tolist()
        _values_of("float_list", name, feature).extend(floats)
    elif kinds and kinds <= {bool, int} and min(values) >= -(2**63) and max(values) < 2**63:
        _values_of("int64_list", name, feature).extend(map(int, values))
    elif kinds and kinds <= {str, LongText}:
        _values_of("bytes_list", name, feature).extend(map(encoded, values))
    else:
        for value in values:
            _add_value(value, name, feature, check)


def _add_value(value: Any, name: str, feature: Any, check: Check) -> None:
    """Adds one value, which must be of the same kind as the feature's first."""
    if type(value) in (bool, int):
        if type(value) is int and not -(2**63) <= value < 2**63:  # the parser returns no int below -(2**63)
            _check_kind("int64_list", name, feature)
            raise invalid(f"Feature: {printable(name)} has uint64_t element. Only int64_t is supported.")
        _values_of("int64_list", name, feature).append(int(value))
    elif type(value) is float:
        with np.errstate(over="ignore"):
            _values_of("float_list", name, feature).append(float(np.float32(value)))
    elif type(value) in TEXTS:
        _values_of("bytes_list", name, feature).append(encoded(value))
    elif is_base64(value):
        _values_of("bytes_list", name, feature).append(bytes_of(value, check))
    else:
        raise invalid(f"Feature: {printable(name)} has element with unexpected JSON type: {type_name(value)}")


def _values_of(kind: str, name: str, feature: Any) -> Any:
    _check_kind(kind, name, feature)
    return getattr(feature, kind).value


def _check_kind(kind: str, name: str, feature: Any) -> None:
    got = feature.WhichOneof("kind")
    if got not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {printable(name)} expecting type: {_KIND_NAMES[got]}")
