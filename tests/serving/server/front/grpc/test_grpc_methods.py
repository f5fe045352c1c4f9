import asyncio

import grpc
import numpy as np
import pytest
from fronts import HOST, predict_request, with_fronts

from serving.client import AsyncClient, InvalidRequest
from serving.server.calls.request_tensors import decode_inputs
from serving.wire import protos


def test_predict_returns_arrays_and_the_version():
    async def test(fronts):
        return await fronts.call("Predict", predict_request(x=[1, 2.5], label="stable"))

    response = with_fronts(test)
    assert decode_inputs(response.outputs)["y"].tolist() == [2, 5]
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)


def test_every_mistake_has_tf_servings_code_and_message():
    broken = protos.PredictRequest(model_spec=protos.ModelSpec(name="m"))
    broken.inputs["x"].dtype = 1
    broken.inputs["x"].tensor_shape.dim.add(size=2**62)
    cases = [
        (protos.PredictRequest(), ("INVALID_ARGUMENT", "Missing ModelSpec")),
        (predict_request("no"), ("NOT_FOUND", "Servable not found for request: Latest(no)")),
        (predict_request(version=7), ("NOT_FOUND", "Servable not found for request: Specific(m, 7)")),
        (predict_request(label="x"), ("INVALID_ARGUMENT", "Unrecognized servable version label: x")),
        (predict_request(signature="no"), ("FAILED_PRECONDITION", 'Serving signature key "no" not found.')),
        (predict_request(), ("INVALID_ARGUMENT", "input size does not match signature")),
        (broken, ("INVALID_ARGUMENT", "tensor parsing error: x")),
        (b"\xff\xff\xff", ("INTERNAL", "The request is not a tensorflow.serving.PredictionService/Predict message")),
    ]

    async def test(fronts):
        for request, expected in cases:
            assert await fronts.call("Predict", request) == expected
        code, words = await fronts.call("Predict", predict_request(signature="broken", x=[1]))
        assert code == "INTERNAL"
        assert "secret" not in words
        assert (await fronts.call("Classify", protos.ClassificationRequest()))[0] == "INVALID_ARGUMENT"

    with_fronts(test)


def test_the_other_methods_respond():
    spec = protos.ModelSpec(name="m")
    classify, regress = protos.ClassificationRequest(model_spec=spec), protos.RegressionRequest(model_spec=spec)
    example = classify.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(3)
    regress.input.example_list.examples.add().CopyFrom(example)
    metadata = protos.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])

    async def test(fronts):
        assert (await fronts.call("Classify", classify)).result.classifications[0].classes[0].label == "n"
        assert (await fronts.call("Regress", regress)).result.regressions[0].value == 1
        assert "signature_def" in (await fronts.call("GetModelMetadata", metadata)).metadata
        assert (await fronts.call("MultiInference", protos.MultiInferenceRequest()))[0] == "UNIMPLEMENTED"
        status = protos.GetModelStatusRequest(model_spec=spec)
        answer = await fronts.call("GetModelStatus", status, service=protos.MODEL_SERVICE)
        assert answer.model_version_status[0].state == 30
        reload = protos.ReloadConfigRequest()
        reload.config.model_config_list.config.add(name="other", base_path="/other")
        await fronts.call("HandleReloadConfigRequest", reload, service=protos.MODEL_SERVICE)
        assert (await fronts.call("Predict", predict_request(x=[1])))[0] == "NOT_FOUND"
        assert list(fronts.frontend.model_names) == ["other"]
        return fronts.frontend.metrics.page()

    page = with_fronts(test)
    assert ':request_count{model_name="m",status="OK"} 2' in page
    # A model that was removed keeps its name while there is room.
    assert ':request_count{model_name="m",status="NOT_FOUND"} 1' in page
    assert 'API="Classify",entrypoint="GRPC"' in page


def test_the_deadline_reaches_the_service_and_ends_the_call():
    async def test(fronts):
        seen = []

        async def predict(model_spec, inputs, output_filter=(), call=None):
            seen.append(call.deadline - asyncio.get_running_loop().time())
            await asyncio.sleep(60)

        fronts.frontend.service.predict = predict
        answer = await fronts.call("Predict", predict_request(x=[1]), timeout=0.5)
        while fronts.frontend.in_flight:  # the call is cancelled in the server as well
            await asyncio.sleep(0.01)
        return answer, seen

    (code, _), (left,) = with_fronts(test)
    assert code == "DEADLINE_EXCEEDED"
    assert 0 < left <= 0.51  # a client may round the header's value up


def test_more_requests_than_may_be_in_flight_are_refused_at_once():
    async def test(fronts):
        slow = predict_request(signature="slow", x=[0.5])
        answers = await asyncio.gather(*[fronts.call("Predict", slow) for _ in range(6)])
        refused = [one for one in answers if isinstance(one, tuple)]
        assert refused == [("RESOURCE_EXHAUSTED", "Too many requests in flight: 2 (--max_concurrent_requests)")] * 4
        again = [asyncio.create_task(fronts.call("Predict", slow)) for _ in range(2)]
        await asyncio.sleep(0.2)
        status = protos.GetModelStatusRequest(model_spec=slow.model_spec)
        assert (await fronts.call("GetModelStatus", status, service=protos.MODEL_SERVICE)).model_version_status
        await asyncio.gather(*again)
        assert not isinstance(await fronts.call("Predict", predict_request(x=[1])), tuple)

    with_fronts(test, max_concurrent_requests=2)


def test_a_message_that_is_too_large_is_refused():
    async def test(fronts):
        assert (await fronts.call("Predict", predict_request(x=[1.0] * 100_000)))[0] == "RESOURCE_EXHAUSTED"

        bomb = predict_request(signature="x" * 50_000_000)
        assert (await fronts.call("Predict", bomb, compression=grpc.Compression.Gzip))[0] == "RESOURCE_EXHAUSTED"

    with_fronts(test, max_message_bytes=200_000)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_client_reports_that_the_request_and_not_the_response_was_too_large(scheme):
    async def test(fronts):
        chosen = fronts.frontend.options
        url = f"{scheme}://{HOST}:{chosen.port if scheme == 'grpc' else chosen.rest_api_port}"
        async with AsyncClient(url, model="m") as client:
            with pytest.raises(InvalidRequest, match="larger than") as refused:
                await client.predict_arrays({"x": np.ones(100_000, np.float32)})
            assert "answer" not in refused.value.message

    with_fronts(test, max_message_bytes=200_000)
