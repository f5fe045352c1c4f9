"""For any response of a server, a client returns a value or raises one of its own errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import ClientError, ServerError
from serving.client.endpoint import parse
from serving.client.flows import _typed
from serving.client.grpc_wire import GrpcWire
from serving.client.model_calls import Call, GetMetadata, GetStatus, Infer, Predict
from serving.client.outputs import predictions
from serving.client.rest_wire import RestWire
from serving.wire.protos import GetModelMetadataResponse, PredictResponse, TensorProto

TARGET = parse("http://localhost/reviews")
KEYS = ["outputs", "results", "model_spec", "metadata", "signature_def", "model_version_status", "version", "b64"]
NAMES = st.sampled_from([*KEYS, "error", "label", "score", "probabilities", "serving_default", "inputs", "name"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
CALLS: list[Call] = [Predict("", {}), Infer("classify", "", []), Infer("regress", "", []), GetStatus(), GetMetadata()]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CALLS), VALUES, st.sampled_from([200, 200, 200, 302, 400, 404, 418, 503, 599]))
def test_any_json_is_a_response_or_a_client_error(call: Call, value: Any, status: int) -> None:
    with contextlib.suppress(ClientError):
        answer = RestWire(TARGET).decode(call, status, json.dumps(value).encode())
        if isinstance(call, Predict):
            predictions(answer.outputs, None)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000, b"NaN", b"[1]"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_invalid_json_is_a_server_error(call: Call, body: bytes) -> None:
    with pytest.raises(ServerError):
        RestWire(TARGET).decode(call, 200, body)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 30), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), st.binary(max_size=20), st.booleans()
)
def test_any_tensor_is_an_array_or_a_client_error(
    dtype: int, sizes: list[int], content: bytes, in_content: bool
) -> None:
    response = PredictResponse()
    tensor: Any = TensorProto(dtype=dtype, string_val=[content], float_val=[1.0], int_val=[300], half_val=[70_000])
    if in_content:
        tensor.tensor_content = content
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    response.outputs["score"].CopyFrom(tensor)
    with contextlib.suppress(ClientError):
        GrpcWire(TARGET).decode(Predict("", {}), response)


def test_all_outputs_of_a_response_share_the_bound_on_filled_values() -> None:
    response = PredictResponse()
    for name in "abc":
        tensor = response.outputs[name]
        tensor.dtype = 1
        tensor.float_val.append(1.0)
        tensor.tensor_shape.dim.add(size=2**23)
    with pytest.raises(ServerError, match="values that were not sent"):
        GrpcWire(TARGET).decode(Predict("", {}), response)


def test_invalid_metadata_are_a_server_error() -> None:
    response = GetModelMetadataResponse()
    response.metadata["signature_def"].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    response.metadata["signature_def"].value = b"\xff\xff"
    with pytest.raises(ServerError, match="metadata are not signatures"):
        GrpcWire(TARGET).decode(GetMetadata(), response)


@pytest.mark.parametrize(
    "body", [b'{"outputs": [null]}', b'{"outputs": [1, {}]}', b'{"outputs": [[1], 2]}', b'{"outputs": ["a", 1]}']
)
def test_json_that_is_not_an_array_is_a_server_error(body: bytes) -> None:
    with pytest.raises(ServerError):
        RestWire(TARGET).decode(Predict("", {}), 200, body)


@pytest.mark.parametrize("dtype", ["DT_FLOAT", "DT_FLOAT8_E5M2", "DT_INT32", "DT_STRING", "DT_RESOURCE"])
@pytest.mark.parametrize("outputs", ['["a"]', "[1.5]", "[true]", "[1e300]", '{"y": [{"b64": "YQ=="}]}'])
def test_outputs_that_contradict_the_metadata_are_an_array_or_an_error(dtype: str, outputs: str) -> None:
    wire = RestWire(TARGET)
    signature = {"outputs": {"y": {"dtype": dtype, "tensor_shape": {"dim": [{"size": "-1"}]}, "name": "y:0"}}}
    metadata = {"signature_def": {"signature_def": {"s": signature}}}
    answer = {"model_spec": {"name": "m", "version": "1"}, "metadata": metadata}
    with contextlib.suppress(ServerError):
        known = wire.decode(GetMetadata(), 200, json.dumps(answer).encode())
        _typed(wire.decode(Predict("s", {}), 200, f'{{"outputs": {outputs}}}'.encode()), "s", known)
