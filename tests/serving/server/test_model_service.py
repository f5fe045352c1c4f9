"""The model service: predictions, model information, deadlines, and TF Serving's codes and messages for errors."""

import asyncio

import numpy as np
import pytest
from protobuf_messages import encode
from tiny_servers import config_of, floats, options_of, spec, with_core

from serving.errors import Code, StatusError
from serving.server.calls.request_context import RequestContext
from serving.server.calls.request_tensors import decode_inputs
from serving.wire.protos import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    PredictRequest,
    ReloadConfigRequest,
    SignatureDefMap,
)


@pytest.mark.parametrize(
    ("model_spec", "version"), [(spec(), 2), (spec(version=1), 1), (spec(version=2), 2), (spec(label="stable"), 1)]
)
def test_a_model_spec_selects_the_version(query, model_spec, version):
    predicted = query(lambda service: service.predict(model_spec, floats(1, 2)))
    assert predicted.outputs["y"].tolist() == [1 + version, 2 + version]
    assert predicted.model_spec == spec(signature="serving_default", version=version)


def test_the_output_filter_chooses_and_orders_outputs(query):
    assert list(query(lambda service: service.predict(spec(), floats(1), ["y"])).outputs) == ["y"]
    assert list(query(lambda service: service.predict(spec(), floats(1), ["y", "bias"])).outputs) == ["y", "bias"]
    assert list(query(lambda service: service.predict(spec(), floats(1))).outputs) == ["bias", "y"]


def test_scalars_and_strings_are_arrays(query):
    outputs = query(lambda service: service.predict(spec(signature="scalar"), floats(1, 2))).outputs
    assert (outputs["total"].shape, outputs["total"].dtype) == ((), np.float32)
    assert (outputs["name"].shape, outputs["name"].dtype, outputs["name"].item()) == ((), object, b"total")


TWO = {"text": np.array([b"a"], object), "n": np.array([1])}

PREDICT_MISTAKES = [
    (None, floats(1), (), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    (spec(name=""), floats(1), (), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    (spec(name="x"), floats(1), (), Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
    (spec(version=7), floats(1), (), Code.NOT_FOUND, "Servable not found for request: Specific(m, 7)"),
    (spec(label="x"), floats(1), (), Code.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
    (spec(signature="x"), floats(1), (), Code.FAILED_PRECONDITION, 'Serving signature key "x" not found.'),
    (
        spec(),
        {},
        (),
        Code.INVALID_ARGUMENT,
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    (
        spec(),
        {**floats(1), "b": np.array([1]), "a": np.array([1])},
        (),
        Code.INVALID_ARGUMENT,
        "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). Sent extra: {a,b}. "
        "Missing but required: {}.",
    ),
    (
        spec(),
        {"z": np.float32([1])},
        (),
        Code.INVALID_ARGUMENT,
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value provided. "
        "Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    (
        spec(),
        floats(1),
        ("z",),
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {bias,y}.",
    ),
    (spec(), floats(1), ("y", "y"), Code.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
    (
        spec(),
        {"x": np.array([1])},
        (),
        Code.INVALID_ARGUMENT,
        "Expects arg[0] to be float but int64 is provided",
    ),
    (
        spec(signature="two"),
        {**TWO, "text": np.float32([1])},
        (),
        Code.INVALID_ARGUMENT,
        "Expects arg[1] to be string but float is provided",
    ),
    (spec(), {"x": np.array([1], ">f4")}, (), Code.INVALID_ARGUMENT, "Expects arg[0] to be float but >f4 is provided"),
    (spec(signature="positive"), floats(-1), (), Code.INVALID_ARGUMENT, "assertion failed: [not positive"),
    (spec(signature="matrix"), floats(1), (), Code.INVALID_ARGUMENT, "Invalid reduction dimension"),
]


@pytest.mark.parametrize(("model_spec", "inputs", "output_filter", "code", "message"), PREDICT_MISTAKES)
def test_an_invalid_predict_gets_tf_servings_code_and_message(query, model_spec, inputs, output_filter, code, message):
    with pytest.raises(StatusError) as refused:
        query(lambda service: service.predict(model_spec, inputs, output_filter))
    assert refused.value.code is code
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize("content", [b"\xff\x80", b"\x07" * 100_000], ids=["no UTF-8", "long"])
def test_an_error_that_quotes_the_request_has_a_bounded_message(query, content):
    examples = np.empty(1, object)
    examples[0] = content
    with pytest.raises(StatusError, match="Could not parse example input") as refused:
        query(lambda service: service.predict(spec(signature="classify"), {"inputs": examples}))
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert len(refused.value.message) < 10_000


def in_loop(service, method, request):
    async def call():
        return getattr(service, method)(request)

    return call()


def test_metadata_is_the_map_of_signatures(query):
    request = GetModelMetadataRequest(model_spec=spec(version=1), metadata_field=["signature_def"])
    response = query(lambda service: in_loop(service, "get_model_metadata", request))
    assert response.model_spec == spec(version=1)
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = SignatureDefMap.FromString(packed.value).signature_def
    assert signatures["serving_default"].inputs["x"].name == "serving_default_x:0"
    assert "__saved_model_init_op" in signatures


METADATA_MISTAKES = [
    (GetModelMetadataRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    (
        GetModelMetadataRequest(model_spec=spec()),
        Code.INVALID_ARGUMENT,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    (
        GetModelMetadataRequest(model_spec=spec(), metadata_field=["x"]),
        Code.INVALID_ARGUMENT,
        "Metadata field x is not supported",
    ),
    (
        GetModelMetadataRequest(model_spec=spec(name="x"), metadata_field=["signature_def"]),
        Code.NOT_FOUND,
        "Servable not found for request: Latest(x)",
    ),
]

STATUS_MISTAKES = [
    (GetModelStatusRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    (GetModelStatusRequest(model_spec=spec("x")), Code.NOT_FOUND, "Could not find any versions of model x"),
    (GetModelStatusRequest(model_spec=spec(version=9)), Code.NOT_FOUND, "Could not find version 9 of model m"),
]


@pytest.mark.parametrize(
    ("method", "request_", "code", "message"),
    [("get_model_metadata", *case) for case in METADATA_MISTAKES]
    + [("get_model_status", *case) for case in STATUS_MISTAKES],
)
def test_an_invalid_metadata_or_status_request_gets_tf_servings_code_and_message(
    query, method, request_, code, message
):
    with pytest.raises(StatusError) as refused:
        query(lambda service: in_loop(service, method, request_))
    assert (refused.value.code, refused.value.message) == (code, message)


def test_the_status_names_every_version_newest_first(query):
    response = query(lambda service: in_loop(service, "get_model_status", GetModelStatusRequest(model_spec=spec())))
    assert [(one.version, one.state, one.status.error_code) for one in response.model_version_status] == [
        (2, 30, 0),
        (1, 30, 0),
    ]
    request = GetModelStatusRequest(model_spec=spec(version=1))
    assert [
        one.version for one in query(lambda service: in_loop(service, "get_model_status", request)).model_version_status
    ] == [1]


def test_the_inputs_of_a_signature_are_listed(query):
    async def inputs(service):
        return service.inputs_of(spec(), ""), service.inputs_of(spec(), "two")

    default, two = query(inputs)
    assert default == {"x": 1}
    assert two == {"text": 7, "n": 9}


def test_observers_see_runs_and_state_changes(base):
    runs, states = [], []

    async def use(service):
        await service.predict(spec(), floats(1))

    with_core(
        options_of(config_of(m=base)),
        use,
        on_run=lambda model, seconds: runs.append((model, seconds > 0)),
        on_state=lambda *state: states.append(state),
    )
    assert runs == [("m", True)]
    assert states == [("m", 2, state) for state in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")]


def test_only_a_list_of_models_can_be_reloaded(query):
    with pytest.raises(StatusError, match="ServerModelConfig type not supported by HandleReloadConfigRequest"):
        query(lambda service: service.reload_config(ReloadConfigRequest()))


@pytest.mark.parametrize("batching", [None, {}])
def test_a_deadline_ends_the_run_and_a_cancelled_request_breaks_no_other(base, batching):
    endless = {"n": np.array([2**31 - 1], np.int32)}

    async def use(service):
        deadline = asyncio.get_running_loop().time() + 0.3
        late = asyncio.create_task(
            service.predict(spec(signature="slow"), endless, (), RequestContext(deadline=deadline))
        )
        cancelled = asyncio.create_task(
            service.predict(spec(signature="slow"), endless, (), RequestContext(deadline=deadline))
        )
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(StatusError) as error:
            await late
        assert error.value.code is Code.DEADLINE_EXCEEDED
        assert (await service.predict(spec(), floats(1))).outputs["y"].tolist() == [3.0]

    # The service can stop only if the threads are free again and the version is drained.
    with_core(options_of(config_of(m=base), batching=batching), use)


@pytest.mark.parametrize("count", [1, 15, 16, 1000])
@pytest.mark.parametrize("as_content", [False, True])
def test_decoded_tensors_reach_the_model_unchanged(query, count, as_content):
    """Decoded arrays may be read-only and begin at any address."""
    sent = np.random.default_rng(5).normal(size=count).astype(np.float32)
    request = PredictRequest()
    request.inputs["x"].CopyFrom(encode(sent, as_content))
    inputs = decode_inputs(PredictRequest.FromString(request.SerializeToString()).inputs)
    outputs = query(lambda service: service.predict(spec(), inputs)).outputs
    np.testing.assert_array_equal(outputs["y"], sent + np.float32(2))
    np.testing.assert_array_equal(decode_inputs({"y": encode(outputs["y"], as_content)})["y"], outputs["y"])


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_an_infinite_deadline_is_no_deadline(query, seconds):
    three = {"n": np.array([3], np.int32)}
    predicted = query(
        lambda service: service.predict(spec(signature="slow"), three, (), RequestContext(deadline=seconds))
    )
    assert predicted.outputs["last"].tolist() == [3]
