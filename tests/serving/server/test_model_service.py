"""The service as the front ends see it: answers, and TF Serving's codes and messages for the same mistakes."""

import asyncio

import numpy as np
import pytest
from tiny_servers import config_of, example, floats, options_of, publish, spec, with_core

from serving.errors import Code, StatusError
from serving.server.calls.request_context import RequestContext
from serving.server.calls.request_tensors import decode_inputs, encode
from serving.server.calls.service import TensorInfo
from serving.wire.protos import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    MultiInferenceRequest,
    PredictRequest,
    RegressionRequest,
    ReloadConfigRequest,
    SignatureDefMap,
)

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def base(saved_models, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    publish(saved_models[1], base, 1)
    publish(saved_models[2], base, 2)
    return base


@pytest.fixture(scope="module")
def ask(base):
    """Asks a core that serves both versions, with a label, in one event loop for all tests of this file."""
    config = config_of(m=base)
    config.model_config_list.config[0].model_version_policy.all.SetInParent()
    config.model_config_list.config[0].version_labels["stable"] = 1
    options = options_of(config, allow_version_labels_for_unavailable_models=True)
    with asyncio.Runner() as runner:
        from serving.server.model_service import Core

        core = Core(options)
        runner.run(core.start())
        yield lambda use: runner.run(use(core))
        runner.run(core.stop())


def classification(signature="classify", values=(3.0,), **kwargs):
    request = ClassificationRequest(model_spec=spec(signature=signature, **kwargs))
    request.input.example_list.examples.extend(example(value) for value in values)
    return request


def regression(signature="regress", values=(3.0,)):
    request = RegressionRequest(model_spec=spec(signature=signature))
    request.input.example_list.examples.extend(example(value) for value in values)
    return request


def inference(*tasks, values=(3.0,)):
    request = MultiInferenceRequest()
    for name, signature, method in tasks:
        request.tasks.add(model_spec=spec(name, signature), method_name=method)
    request.input.example_list.examples.extend(example(value) for value in values)
    return request


@pytest.mark.parametrize(
    ("model_spec", "version"), [(spec(), 2), (spec(version=1), 1), (spec(version=2), 2), (spec(label="stable"), 1)]
)
def test_the_version_that_is_asked_for_answers(ask, model_spec, version):
    predicted = ask(lambda core: core.predict(model_spec, floats(1, 2)))
    assert predicted.outputs["y"].tolist() == [1 + version, 2 + version]
    assert predicted.model_spec == spec(signature="serving_default", version=version)


def test_the_output_filter_chooses_and_orders_outputs(ask):
    assert list(ask(lambda core: core.predict(spec(), floats(1), ["y"])).outputs) == ["y"]
    assert list(ask(lambda core: core.predict(spec(), floats(1), ["y", "bias"])).outputs) == ["y", "bias"]
    assert list(ask(lambda core: core.predict(spec(), floats(1))).outputs) == ["bias", "y"]


def test_scalars_and_strings_are_arrays(ask):
    outputs = ask(lambda core: core.predict(spec(signature="scalar"), floats(1, 2))).outputs
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
def test_a_wrong_predict_gets_tf_servings_code_and_message(ask, model_spec, inputs, output_filter, code, message):
    with pytest.raises(StatusError) as refused:
        ask(lambda core: core.predict(model_spec, inputs, output_filter))
    assert refused.value.code is code
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize("content", [b"\xff\x80", b"\x07" * 100_000], ids=["no UTF-8", "long"])
def test_an_error_that_quotes_the_request_is_an_answer(ask, content):
    examples = np.empty(1, object)
    examples[0] = content
    with pytest.raises(StatusError, match="Could not parse example input") as refused:
        ask(lambda core: core.predict(spec(signature="classify"), {"inputs": examples}))
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert len(refused.value.message) < 10_000


def test_examples_are_classified(ask):
    response = ask(lambda core: core.classify(classification(values=(3.0, 0.5))))
    assert response.model_spec == spec(signature="classify", version=2)
    rows = [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]
    assert rows == [[("x", 3.0), ("rest", -1.0)], [("x", 0.5), ("rest", 1.5)]]


def test_examples_are_regressed(ask):
    response = ask(lambda core: core.regress(regression(values=(3.0, 0.5))))
    assert [one.value for one in response.result.regressions] == [5.0, 2.5]


def test_a_context_goes_before_each_example(ask):
    request = RegressionRequest(model_spec=spec(signature="regress", version=1))
    request.input.example_list_with_context.context.CopyFrom(example(7.0))
    request.input.example_list_with_context.examples.add()
    request.input.example_list_with_context.examples.append(example(1.0))
    assert [one.value for one in ask(lambda core: core.regress(request)).result.regressions] == [8.0, 2.0]


def test_several_signatures_are_asked_at_once(ask):
    response = ask(lambda core: core.multi_inference(inference(("m", "classify", CLASSIFY), ("m", "regress", REGRESS))))
    first, second = response.results
    assert first.model_spec == spec(signature="classify", version=2)
    assert [one.score for one in first.classification_result.classifications[0].classes] == [3.0, -1.0]
    assert [one.value for one in second.regression_result.regressions] == [5.0]


EXAMPLE_MISTAKES = [
    ("classify", ClassificationRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    ("classify", classification(values=()), Code.INVALID_ARGUMENT, "Input is empty."),
    ("classify", classification("x"), Code.INVALID_ARGUMENT, "No signature was found with the name: x"),
    ("classify", classification("two"), Code.INVALID_ARGUMENT, "Expected one input Tensor."),
    ("classify", classification(""), Code.INVALID_ARGUMENT, "No classification inputs found in SignatureDef: inputs {"),
    (
        "classify",
        classification("regress"),
        Code.INVALID_ARGUMENT,
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ',
    ),
    ("regress", RegressionRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    ("regress", regression("x"), Code.INVALID_ARGUMENT, "No signature was found with the name: x"),
    ("regress", regression("two"), Code.INVALID_ARGUMENT, "Expected one input Tensor."),
    ("regress", regression("classify"), Code.INVALID_ARGUMENT, "Expected one output Tensor."),
    ("regress", regression("positive"), Code.INVALID_ARGUMENT, "No regression inputs found in SignatureDef: inputs {"),
    (
        "regress",
        regression("bad_regress", values=(1.0, 2.0, 3.0)),
        Code.INVALID_ARGUMENT,
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [3,2]",
    ),
    ("multi_inference", MultiInferenceRequest(), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    (
        "multi_inference",
        inference(("m", "classify", CLASSIFY), ("", "regress", REGRESS)),
        Code.INVALID_ARGUMENT,
        "Found ModelSpec with an empty model name.",
    ),
    (
        "multi_inference",
        inference(("m", "classify", CLASSIFY), ("n", "regress", REGRESS)),
        Code.INVALID_ARGUMENT,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    (
        "multi_inference",
        inference(("m", "regress", REGRESS), ("m", "regress", REGRESS)),
        Code.INVALID_ARGUMENT,
        "Duplicate evaluation of signature: regress",
    ),
    (
        "multi_inference",
        inference(("m", "x", REGRESS)),
        Code.INVALID_ARGUMENT,
        "Requested signature not found in model graph: x",
    ),
    (
        "multi_inference",
        inference(("m", "regress", "x")),
        Code.UNIMPLEMENTED,
        "Unsupported signature method_name: x",
    ),
    (
        "multi_inference",
        inference(("m", "regress", REGRESS), values=()),
        Code.INVALID_ARGUMENT,
        "Input is empty.",
    ),
]


@pytest.mark.parametrize(("method", "request_", "code", "message"), EXAMPLE_MISTAKES)
def test_a_wrong_request_with_examples_gets_tf_servings_code_and_message(ask, method, request_, code, message):
    with pytest.raises(StatusError) as refused:
        ask(lambda core: getattr(core, method)(request_))
    assert refused.value.code is code
    assert refused.value.message.startswith(message)


def called(core, method, request):
    async def call():
        return getattr(core, method)(request)

    return call()


def test_metadata_is_the_map_of_signatures(ask):
    request = GetModelMetadataRequest(model_spec=spec(version=1), metadata_field=["signature_def"])
    response = ask(lambda core: called(core, "get_model_metadata", request))
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
    [("get_model_metadata", *one) for one in METADATA_MISTAKES]
    + [("get_model_status", *one) for one in STATUS_MISTAKES],
)
def test_a_wrong_question_about_a_model_gets_tf_servings_code_and_message(ask, method, request_, code, message):
    with pytest.raises(StatusError) as refused:
        ask(lambda core: called(core, method, request_))
    assert (refused.value.code, refused.value.message) == (code, message)


def test_the_status_names_every_version_newest_first(ask):
    response = ask(lambda core: called(core, "get_model_status", GetModelStatusRequest(model_spec=spec())))
    assert [(one.version, one.state, one.status.error_code) for one in response.model_version_status] == [
        (2, 30, 0),
        (1, 30, 0),
    ]
    request = GetModelStatusRequest(model_spec=spec(version=1))
    assert [
        one.version for one in ask(lambda core: called(core, "get_model_status", request)).model_version_status
    ] == [1]


def test_the_inputs_of_a_signature_are_told(ask):
    async def inputs(core):
        return core.inputs_of(spec(), ""), core.inputs_of(spec(), "two")

    default, two = ask(inputs)
    assert default == {"x": TensorInfo(1, (-1,))}
    assert two == {"text": TensorInfo(7, (-1,)), "n": TensorInfo(9, (-1,))}


def test_a_method_name_is_checked_where_that_is_asked_for(base):
    async def use(core):
        await core.predict(spec(), floats(1))
        await core.classify(classification())

    options = options_of(config_of(m=base), enable_signature_method_name_check=True)
    with pytest.raises(StatusError, match=f"Expected classification signature method_name to be {CLASSIFY}. Was: "):
        with_core(options, use)


def test_what_runs_and_what_is_loaded_is_told_to_observers(base):
    runs, states = [], []

    async def use(core):
        await core.predict(spec(), floats(1))

    with_core(
        options_of(config_of(m=base)),
        use,
        on_run=lambda model, seconds: runs.append((model, seconds > 0)),
        on_state=lambda *state: states.append(state),
    )
    assert runs == [("m", True)]
    assert states == [("m", 2, state) for state in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")]


def test_only_a_list_of_models_can_be_reloaded(ask):
    with pytest.raises(StatusError, match="ServerModelConfig type not supported by HandleReloadConfigRequest"):
        ask(lambda core: core.reload_config(ReloadConfigRequest()))


@pytest.mark.parametrize("batching", [None, {}])
def test_a_deadline_ends_the_run_and_a_cancelled_request_breaks_no_other(base, batching):
    endless = {"n": np.array([2**31 - 1], np.int32)}

    async def use(core):
        deadline = asyncio.get_running_loop().time() + 0.3
        late = asyncio.create_task(core.predict(spec(signature="slow"), endless, (), RequestContext(deadline=deadline)))
        cancelled = asyncio.create_task(
            core.predict(spec(signature="slow"), endless, (), RequestContext(deadline=deadline))
        )
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(StatusError) as error:
            await late
        assert error.value.code is Code.DEADLINE_EXCEEDED
        assert (await core.predict(spec(), floats(1))).outputs["y"].tolist() == [3.0]

    # That it stops at all says that the threads are free again, and the version drained.
    with_core(options_of(config_of(m=base), batching=batching), use)


@pytest.mark.parametrize("count", [1, 15, 16, 1000])
@pytest.mark.parametrize("as_content", [False, True])
def test_what_comes_off_the_wire_is_what_runs(ask, count, as_content):
    """Decoded arrays may be read-only and begin at any address."""
    sent = np.random.default_rng(5).normal(size=count).astype(np.float32)
    request = PredictRequest()
    request.inputs["x"].CopyFrom(encode(sent, as_content))
    inputs = decode_inputs(PredictRequest.FromString(request.SerializeToString()).inputs)
    outputs = ask(lambda core: core.predict(spec(), inputs)).outputs
    np.testing.assert_array_equal(outputs["y"], sent + np.float32(2))
    np.testing.assert_array_equal(decode_inputs({"y": encode(outputs["y"], as_content)})["y"], outputs["y"])


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_a_deadline_that_never_comes_is_none(ask, seconds):
    three = {"n": np.array([3], np.int32)}
    predicted = ask(lambda core: core.predict(spec(signature="slow"), three, (), RequestContext(deadline=seconds)))
    assert predicted.outputs["last"].tolist() == [3]


def test_what_the_model_says_of_bytes_that_are_no_text_reaches_the_caller(ask):
    request = RegressionRequest(model_spec=spec(signature="regress"))
    request.input.example_list.examples.add().MergeFromString(b"\x0a\x07\x0a\x00\x0a\x03\x08\x80\x01")
    with pytest.raises(StatusError) as error:
        ask(lambda core: core.regress(request))
    assert error.value.code is Code.INVALID_ARGUMENT
    assert "Could not parse example" in error.value.message
