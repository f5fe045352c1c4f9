"""The model service's requests with `tf.Example`s: classify, regress and multi-inference."""

import pytest
from tiny_servers import config_of, example, floats, options_of, spec, with_core

from serving.errors import Code, StatusError
from serving.wire.protos import (
    ClassificationRequest,
    MultiInferenceRequest,
    RegressionRequest,
)

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


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


def test_examples_are_classified(query):
    response = query(lambda service: service.classify(classification(values=(3.0, 0.5))))
    assert response.model_spec == spec(signature="classify", version=2)
    rows = [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]
    assert rows == [[("x", 3.0), ("rest", -1.0)], [("x", 0.5), ("rest", 1.5)]]


def test_examples_are_regressed(query):
    response = query(lambda service: service.regress(regression(values=(3.0, 0.5))))
    assert [one.value for one in response.result.regressions] == [5.0, 2.5]


def test_a_context_goes_before_each_example(query):
    request = RegressionRequest(model_spec=spec(signature="regress", version=1))
    request.input.example_list_with_context.context.CopyFrom(example(7.0))
    request.input.example_list_with_context.examples.add()
    request.input.example_list_with_context.examples.append(example(1.0))
    assert [one.value for one in query(lambda service: service.regress(request)).result.regressions] == [8.0, 2.0]


def test_multi_inference_runs_several_signatures(query):
    response = query(
        lambda service: service.multi_inference(inference(("m", "classify", CLASSIFY), ("m", "regress", REGRESS)))
    )
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
def test_an_invalid_request_with_examples_gets_tf_servings_code_and_message(query, method, request_, code, message):
    with pytest.raises(StatusError) as refused:
        query(lambda service: getattr(service, method)(request_))
    assert refused.value.code is code
    assert refused.value.message.startswith(message)


def test_a_method_name_is_checked_if_the_flag_is_set(base):
    async def use(service):
        await service.predict(spec(), floats(1))
        await service.classify(classification())

    options = options_of(config_of(m=base), enable_signature_method_name_check=True)
    with pytest.raises(StatusError, match=f"Expected classification signature method_name to be {CLASSIFY}. Was: "):
        with_core(options, use)


def test_the_models_error_about_an_invalid_example_reaches_the_caller(query):
    request = RegressionRequest(model_spec=spec(signature="regress"))
    request.input.example_list.examples.add().MergeFromString(b"\x0a\x07\x0a\x00\x0a\x03\x08\x80\x01")
    with pytest.raises(StatusError) as error:
        query(lambda service: service.regress(request))
    assert error.value.code is Code.INVALID_ARGUMENT
    assert "Could not parse example" in error.value.message
