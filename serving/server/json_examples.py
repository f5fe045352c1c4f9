"""REST's classify and regress requests: JSON to lists of `tf.Example` (tensorflow_serving/util/json_tensor.cc)."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.json_tensor import decode_base64, is_base64, signature_name
from serving.server.json_text import debug_string, encoded, parse_object, printable, type_name

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_examples(body: bytes, request: Any, max_depth: int) -> None:
    """Reads `signature_name`, `context` and `examples` into a `ClassificationRequest` or `RegressionRequest`.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    document = parse_object(body, max_depth)
    if "signature_name" in document:
        request.model_spec.signature_name = signature_name(document)
    examples = request.input.example_list.examples
    if "context" in document:
        with_context = request.input.example_list_with_context
        _fill(document["context"], with_context.context)
        examples = with_context.examples
    if "examples" not in document:
        wrong = "When method is classify, key 'examples' is expected and was not found"
        raise _invalid(f"JSON Value: {debug_string(document)} {wrong}")
    rows = document["examples"]
    if type(rows) is not list:
        raise _invalid(f"JSON Value: {debug_string(document)} Expecting 'examples' value to be an list/array")
    if not rows:
        raise _invalid(f"JSON Value: {debug_string(document)} 'examples' value is an empty array")
    for row in rows:
        _fill(row, examples.add())


def _invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _fill(value: Any, example: Any) -> None:
    if type(value) is not dict:
        raise _invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[printable(name)]
        feature.Clear()
        for item in content if type(content) is list else [content]:
            _add(item, printable(name), feature)


def _add(value: Any, name: str, feature: Any) -> None:
    """Adds one value, of the kind that the feature's first value had."""
    if type(value) in (bool, int):
        if type(value) is int and not -(2**63) <= value < 2**63:
            if 0 <= value < 2**64:
                _check_kind("int64_list", name, feature)
                raise _invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
            _of("float_list", name, feature).append(float(value))  # a number of so many digits is a double
        else:
            _of("int64_list", name, feature).append(int(value))
    elif type(value) is float:
        with np.errstate(over="ignore"):
            _of("float_list", name, feature).append(float(np.float32(value)))
    elif type(value) is str:
        _of("bytes_list", name, feature).append(encoded(value))
    elif is_base64(value):
        _of("bytes_list", name, feature).append(decode_base64(value))
    else:
        raise _invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _of(kind: str, name: str, feature: Any) -> Any:
    _check_kind(kind, name, feature)
    return getattr(feature, kind).value


def _check_kind(kind: str, name: str, feature: Any) -> None:
    got = feature.WhichOneof("kind")
    if got not in (None, kind):
        raise _invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[got]}")
