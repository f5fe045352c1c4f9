"""API keys: which clients may query which models, over gRPC and REST."""

import asyncio
import hashlib

import pytest
from fronts import HOST, with_fronts

from serving.client import AccessDenied, Client
from serving.errors import Code, OptionsError, StatusError
from serving.server.api_keys import ApiKey, ApiKeys
from serving.server.flags import parse, single_model, to_options
from serving.server.front.grpc.health import SERVICE, HealthCheckRequest, HealthCheckResponse
from serving.wire import protos

MINE, OTHERS, ADMIN = "k1", "k2", "k3"


def key_of(name, key, *models, administers=False):
    return ApiKey(name, hashlib.sha256(key.encode()).hexdigest(), frozenset(models), administers)


KEYS = ApiKeys(
    [key_of("mine", MINE, "m", "n"), key_of("other", OTHERS, "o"), key_of("admin", ADMIN, "*", administers=True)]
)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"authorization": f"Bearer {MINE}"}, "mine"),
        ({"authorization": f"bearer  {MINE} "}, "mine"),
        ({"x-api-key": OTHERS}, "other"),
        ({"authorization": "Basic abc", "x-api-key": OTHERS}, "other"),
        ({}, None),
        ({"authorization": MINE}, None),
        ({"authorization": f"Basic {MINE}"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer k"}, None),
        ({"x-api-key": key_of("mine", MINE).sha256}, None),
        ({"x-api-key": "\udcff"}, None),
        ({"authorization": "Bearer k", "x-api-key": MINE}, None),
    ],
)
def test_a_key_comes_in_one_of_two_headers(headers, name):
    if name is not None:
        assert KEYS.find(headers).name == name
        return
    with pytest.raises(StatusError) as refused:
        KEYS.find(headers)
    assert refused.value.code is Code.UNAUTHENTICATED


def requests_of(model):
    """A request of each method that concerns a model."""
    predict = protos.PredictRequest(model_spec={"name": model})
    predict.inputs["x"].dtype = 1
    predict.inputs["x"].tensor_shape.dim.add(size=1)
    predict.inputs["x"].float_val.append(1)
    spec = protos.ModelSpec(name=model)
    multi = protos.MultiInferenceRequest(tasks=[{"model_spec": protos.ModelSpec(name="m")}, {"model_spec": spec}])
    return {
        (protos.PREDICTION_SERVICE, "Predict"): predict,
        (protos.PREDICTION_SERVICE, "Classify"): protos.ClassificationRequest(model_spec=spec),
        (protos.PREDICTION_SERVICE, "Regress"): protos.RegressionRequest(model_spec=spec),
        (protos.PREDICTION_SERVICE, "MultiInference"): multi,
        (protos.PREDICTION_SERVICE, "GetModelMetadata"): protos.GetModelMetadataRequest(model_spec=spec),
        (protos.MODEL_SERVICE, "GetModelStatus"): protos.GetModelStatusRequest(model_spec=spec),
    }


REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED")


def test_every_grpc_method_requires_a_key_for_its_model():
    async def test(fronts):
        async def code(key, model, service, method):
            metadata = [("x-api-key", key)] if key else []
            response = await fronts.call(method, requests_of(model)[service, method], service, metadata=metadata)
            return response[0] if isinstance(response, tuple) else "OK"

        for service, method in requests_of("m"):
            assert await code(None, "m", service, method) == "UNAUTHENTICATED"
            assert await code("made up", "m", service, method) == "UNAUTHENTICATED"
            assert await code(MINE, "o", service, method) == "PERMISSION_DENIED"
            assert await code(MINE, "m", service, method) not in REFUSALS
            assert await code(ADMIN, "anything", service, method) not in REFUSALS

    with_fronts(test, api_keys=KEYS)


def test_server_wide_methods_require_an_administrators_key():
    async def test(fronts):
        config = single_model("m", "/m")
        for service, method, request in (
            (protos.MODEL_SERVICE, "HandleReloadConfigRequest", protos.ReloadConfigRequest(config=config)),
            (protos.PROFILER_SERVICE, "Terminate", protos.message("tensorflow.TerminateRequest")()),
        ):
            assert (await fronts.call(method, request, service))[0] == "UNAUTHENTICATED"
            response = await fronts.call(method, request, service, metadata=[("x-api-key", MINE)])
            assert response[0] == "PERMISSION_DENIED"
            response = await fronts.call(method, request, service, metadata=[("authorization", f"Bearer {ADMIN}")])
            assert not isinstance(response, tuple)

    with_fronts(test, api_keys=KEYS)


def test_health_requires_no_key():
    async def test(fronts):
        check = fronts.channel.unary_unary(f"/{SERVICE}/Check", response_deserializer=HealthCheckResponse.FromString)
        assert (await check(HealthCheckRequest().SerializeToString(), timeout=10)).status == 1

    with_fronts(test, api_keys=KEYS, enable_grpc_healthcheck_service=True)


def test_every_rest_path_requires_a_key_for_its_model():
    body = b'{"instances": [1.0]}'

    async def test(fronts):
        async def status(key, method, path):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            response = await fronts.http.request(
                method, path, headers=headers, content=body if method == "POST" else b""
            )
            assert ("www-authenticate" in response.headers) == (response.status_code == 401)
            return response.status_code

        for method, path in (
            ("POST", "/v1/models/{}:predict"),
            ("POST", "/v1/models/{}/labels/stable:predict"),
            ("POST", "/v1/models/{}:classify"),
            ("POST", "/v1/models/{}:regress"),
            ("GET", "/v1/models/{}"),
            ("GET", "/v1/models/{}/metadata"),
        ):
            assert await status(None, method, path.format("m")) == 401
            assert await status("made up", method, path.format("m")) == 401
            assert await status(OTHERS, method, path.format("m")) == 403
            assert await status(OTHERS, method, path.format("%6d")) == 403
            assert await status(MINE, method, path.format("m")) not in (401, 403)
            assert await status(ADMIN, method, path.format("nothing")) in (400, 404)
        assert await status(None, "GET", "/metrics") == 401
        assert await status(OTHERS, "GET", "/metrics") == 200

    with_fronts(test, api_keys=KEYS, metrics_path="/metrics")


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_transoms_client_sends_a_key(wire):
    async def test(fronts):
        chosen = fronts.frontend.options
        url = f"{wire}://{HOST}:{chosen.port if wire == 'grpc' else chosen.rest_api_port}"

        def ask(key):
            with Client(url, "m", headers={"authorization": f"Bearer {key}"}, retries=0) as client:
                return client.status()[0].state

        assert await asyncio.to_thread(ask, MINE) == "AVAILABLE"
        for key in (OTHERS, "made up"):
            with pytest.raises(AccessDenied):
                await asyncio.to_thread(ask, key)

    with_fronts(test, api_keys=KEYS)


def test_new_keys_apply_to_the_next_request():
    async def test(fronts):
        async def code(key):
            response = await fronts.http.get("/v1/models/m", headers={"x-api-key": key})
            return response.status_code

        assert await code(MINE) == 200
        fronts.frontend.set_keys(ApiKeys([key_of("new", "k9", "m")]))
        assert (await code(MINE), await code("k9")) == (401, 200)

    with_fronts(test, api_keys=KEYS)


SHA = key_of("a", "k").sha256


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no keys"),
        (f'api_key {{ sha256: "{SHA}" }}', "a key without a name"),
        ('api_key { name: "a" sha256: "k" }', "sha256: 'k'"),
        (f'api_key {{ name: "a" sha256: "{SHA}" }} api_key {{ name: "b" sha256: "{SHA}" }}', "the key of a"),
        ('api_key { nme: "a" }', 'no field named "nme"'),
    ],
)
def test_an_unusable_key_file_is_refused(tmp_path, text, part):
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(OptionsError) as refused:
        to_options(parse(["--model_base_path=/m", f"--api_keys_file={file}"]))
    assert part in str(refused.value)


def test_a_key_file_is_read(tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f'api_key {{ name: "a" sha256: "{SHA.upper()}" model: "m" model: "n" administers: true }}')
    chosen = to_options(parse(["--model_base_path=/m", f"--api_keys_file={file}"]))
    assert chosen.api_keys == ApiKeys([key_of("a", "k", "m", "n", administers=True)])
    assert chosen.api_keys_file == file
