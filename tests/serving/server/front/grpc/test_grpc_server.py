import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from fake_service import FakeService
from fronts import HOST, with_fronts

from serving.client import AsyncClient, InvalidRequest
from serving.errors import OptionsError
from serving.server.calls.request_tensors import decode_inputs, encode_outputs
from serving.server.flag_files import read_tls
from serving.server.front.frontend import Frontend
from serving.server.front.grpc import grpc_server, health, reflection
from serving.server.front.grpc.grpc_server import GrpcServer
from serving.server.front.http2 import nghttp2
from serving.wire import protos

HEALTH = f"/{health.SERVICE}"


@pytest.fixture(autouse=True, params=["nghttp2", "grpcio"])
def carrier(request, monkeypatch):
    """What carries gRPC: the library, or grpcio as where that is not installed."""
    if request.param == "grpcio":
        monkeypatch.setattr(grpc_server, "load", lambda: None)
    elif nghttp2.load() is None:
        pytest.skip("nghttp2 is not installed")
    return request.param


def predict_request(name="m", signature="", version=None, label=None, **inputs):
    request = protos.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    encode_outputs(request.inputs, {key: np.array(value, np.float32) for key, value in inputs.items()})
    return request


def test_predict_answers_with_arrays_and_the_version():
    async def test(fronts):
        return await fronts.call("Predict", predict_request(x=[1, 2.5], label="stable"))

    response = with_fronts(test)
    assert decode_inputs(response.outputs)["y"].tolist() == [2, 5]
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)


def test_every_mistake_has_the_code_and_the_words_of_tf_serving():
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
        (b"\xff\xff\xff", ("INTERNAL", "The request is no tensorflow.serving.PredictionService/Predict message")),
    ]

    async def test(fronts):
        for request, expected in cases:
            assert await fronts.call("Predict", request) == expected
        code, words = await fronts.call("Predict", predict_request(signature="broken", x=[1]))
        assert code == "INTERNAL"
        assert "secret" not in words
        assert (await fronts.call("Classify", protos.ClassificationRequest()))[0] == "INVALID_ARGUMENT"

    with_fronts(test)


def test_the_other_methods_answer():
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
        assert list(fronts.frontend.model_names()) == ["other"]
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
    assert 0 < left <= 0.5


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
def test_the_client_says_that_the_request_was_too_large_and_not_the_answer(scheme):
    async def test(fronts):
        chosen = fronts.frontend.options
        url = f"{scheme}://{HOST}:{chosen.port if scheme == 'grpc' else chosen.rest_api_port}"
        async with AsyncClient(url, model="m") as client:
            with pytest.raises(InvalidRequest, match="larger than") as refused:
                await client.predict_arrays({"x": np.ones(100_000, np.float32)})
            assert "answer" not in refused.value.message

    with_fronts(test, max_message_bytes=200_000)


def test_a_port_in_use_is_an_error_and_never_shared():
    async def test(fronts):
        other = Frontend(FakeService(fronts.frontend.options), fronts.frontend.options)
        with pytest.raises(OptionsError, match="cannot listen on"):
            GrpcServer(other)

    with_fronts(test)


def test_health_follows_the_service_and_ends_with_the_drain():
    async def check(fronts, name):
        call = fronts.channel.unary_unary(
            f"{HEALTH}/Check", response_deserializer=health.HealthCheckResponse.FromString
        )
        try:
            return (await call(health.HealthCheckRequest(service=name).SerializeToString(), timeout=10)).status
        except grpc.aio.AioRpcError as error:
            return error.code().name

    async def test(fronts):
        watch = fronts.channel.unary_stream(
            f"{HEALTH}/Watch", response_deserializer=health.HealthCheckResponse.FromString
        )(health.HealthCheckRequest().SerializeToString(), timeout=30)
        assert (await watch.read()).status == health.SERVING
        for name in ("", "m", "tensorflow.serving.PredictionService", "PredictionService"):
            assert await check(fronts, name) == health.SERVING
        assert await check(fronts, "no") == "NOT_FOUND"
        await fronts.grpc.drain()
        assert (await watch.read()).status == health.NOT_SERVING
        assert await check(fronts, "m") == health.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF

    with_fronts(test, enable_grpc_healthcheck_service=True)


def test_health_and_reflection_are_off_unless_asked_for():
    async def test(fronts):
        for path in (f"{HEALTH}/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await fronts.channel.unary_unary(path)(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_fronts(test)


@pytest.mark.parametrize("package", reflection.PACKAGES)
def test_reflection_tells_of_the_services_and_their_messages(package):
    request_class, response_class = reflection.messages(package)

    async def test(fronts):
        call = fronts.channel.stream_stream(
            f"/{package}.ServerReflection/ServerReflectionInfo",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        asked = [
            request_class(list_services=""),
            request_class(file_containing_symbol="tensorflow.serving.PredictionService"),
            request_class(file_containing_symbol=health.SERVICE),
            request_class(file_by_filename="no.proto"),
            request_class(all_extension_numbers_of_type="x"),
        ]
        return [response async for response in call(iter(asked), timeout=20)]

    listed, files, healths, missing, extensions = with_fronts(
        test, enable_grpc_reflection=True, enable_grpc_healthcheck_service=True
    )
    names = [one.name for one in listed.list_services_response.service]
    assert {protos.PREDICTION_SERVICE, protos.MODEL_SERVICE, health.SERVICE, f"{package}.ServerReflection"} <= set(
        names
    )
    assert len(files.file_descriptor_response.file_descriptor_proto) > 5
    assert len(healths.file_descriptor_response.file_descriptor_proto) == 1
    assert missing.error_response.error_code == 5
    assert extensions.error_response.error_code == 12


def test_health_speaks_the_official_proto():
    """The bytes of grpc/health/v1/health.proto: `service` is field 1, `status` is field 1, SERVING is 1."""
    assert health.HealthCheckRequest(service="m").SerializeToString() == b"\x0a\x01m"
    assert health.HealthCheckResponse(status=health.SERVING).SerializeToString() == b"\x08\x01"


def test_a_unix_socket_answers_also_where_a_killed_server_left_one(tmp_path):
    socket_path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path))

    async def test(fronts):
        async with grpc.aio.insecure_channel(f"unix:{socket_path}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            assert await call(predict_request(x=[1]).SerializeToString(), timeout=10)

    with_fronts(test, grpc_socket_path=socket_path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Key and certificate of a server and of a client, signed by themselves, as {name: (key, certificate)}."""
    folder = tmp_path_factory.mktemp("tls")
    made = {}
    for name in ("server", "client"):
        key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            pytest.skip("openssl is not installed")
        made[name] = key, certificate
    return made


def ssl_config(folder: Path, certificates, client_verify=False):
    key, certificate = certificates["server"]
    quoted = {name: repr(path.read_text()).replace("'", '"') for name, path in (("k", key), ("c", certificate))}
    text = f"server_key: {quoted['k']}\nserver_cert: {quoted['c']}\n"
    if client_verify:
        authority = repr(certificates["client"][1].read_text()).replace("'", '"')
        text += f"custom_ca: {authority}\nclient_verify: true\n"
    file = folder / "ssl.txt"
    file.write_text(text)
    return file


def secure_call(port, root, pair=None):
    async def call():
        key, certificate = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(root.read_bytes(), key, certificate)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            try:
                await method(predict_request(x=[1]).SerializeToString(), timeout=5)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    return call()


def test_tls_and_mutual_tls_secure_grpc_and_rest(tmp_path, certificates):
    import ssl

    import httpx

    root = certificates["server"][1]

    def rest(port, pair=None):
        context = ssl.create_default_context(cafile=root)
        if pair:
            context.load_cert_chain(pair[1], pair[0])
        return httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context, timeout=10)

    async def one_sided(fronts):
        chosen = fronts.frontend.options
        assert await secure_call(chosen.port, root) == "OK"
        async with rest(chosen.rest_api_port) as http:
            assert (await http.get("/v1/models/m")).status_code == 200

    async def mutual(fronts):
        chosen = fronts.frontend.options
        assert await secure_call(chosen.port, root) == "UNAVAILABLE"
        assert await secure_call(chosen.port, root, certificates["client"]) == "OK"
        assert await secure_call(chosen.port, root, certificates["server"]) == "UNAVAILABLE"
        async with rest(chosen.rest_api_port, certificates["client"]) as http:
            assert (await http.get("/v1/models/m")).status_code == 200
        async with rest(chosen.rest_api_port) as http:
            with pytest.raises(httpx.HTTPError):
                await http.get("/v1/models/m")

    with_fronts(one_sided, tls=read_tls(ssl_config(tmp_path, certificates)))
    with_fronts(mutual, tls=read_tls(ssl_config(tmp_path, certificates, client_verify=True)))


def test_new_certificates_are_for_new_connections(tmp_path, certificates):
    other = {"server": certificates["client"]}
    (tmp_path / "other").mkdir()

    async def test(fronts):
        port = fronts.frontend.options.port
        assert await secure_call(port, certificates["server"][1]) == "OK"
        fronts.grpc.reload_tls(read_tls(ssl_config(tmp_path / "other", other)))
        assert await secure_call(port, certificates["server"][1]) == "UNAVAILABLE"
        assert await secure_call(port, certificates["client"][1]) == "OK"

    with_fronts(test, tls=read_tls(ssl_config(tmp_path, certificates)))


def test_a_server_without_nghttp2_says_so_once(carrier, caplog):
    async def test(fronts):
        return None

    with_fronts(test)
    assert sum("install libnghttp2" in record.message for record in caplog.records) == (carrier == "grpcio")


def test_arguments_of_channels_that_have_no_effect_are_named(carrier, caplog):
    if carrier == "grpcio":
        pytest.skip("grpcio takes them all")

    async def test(fronts):
        return await fronts.call("Predict", predict_request(x=[1]))

    with_fronts(test, grpc_channel_arguments=(("grpc.lb_policy_name", "x"), ("grpc.max_connection_age_ms", 60_000)))
    assert [record.message for record in caplog.records if "argument" in record.message] == [
        "grpc.lb_policy_name of --grpc_channel_arguments has no effect"
    ]


def test_keys_that_do_not_belong_together_are_refused(tmp_path, certificates):
    mixed = {"server": (certificates["client"][0], certificates["server"][1])}
    with pytest.raises(OptionsError, match="cannot be used"):
        read_tls(ssl_config(tmp_path, mixed))


def test_the_front_ends_load_no_tensorflow():
    code = (
        "import sys, serving.server.front.grpc.grpc_server, serving.server.front.rest.rest_server\n"
        "import serving.server.main, serving.server.processes.serving_process\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
