import socket
import subprocess
import sys

import grpc
import pytest
from fake_service import FakeService
from fronts import predict_request, with_fronts

from serving.errors import OptionsError
from serving.server.front.frontend import Frontend
from serving.server.front.grpc.grpc_server import GrpcServer


def test_a_port_in_use_is_an_error_and_never_shared():
    async def test(fronts):
        other = Frontend(FakeService(fronts.frontend.options), fronts.frontend.options)
        with pytest.raises(OptionsError, match="cannot listen on"):
            GrpcServer(other)

    with_fronts(test)


def test_a_unix_socket_left_by_a_killed_server_is_replaced(tmp_path):
    socket_path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path))

    async def test(fronts):
        async with grpc.aio.insecure_channel(f"unix:{socket_path}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            assert await call(predict_request(x=[1]).SerializeToString(), timeout=10)

    with_fronts(test, grpc_socket_path=socket_path)


def test_a_server_without_nghttp2_logs_it_once(carrier, caplog):
    async def test(fronts):
        return None

    with_fronts(test)
    assert sum("install libnghttp2" in record.message for record in caplog.records) == (carrier == "grpcio")


def test_channel_arguments_without_effect_are_named(carrier, caplog):
    if carrier == "grpcio":
        pytest.skip("grpcio takes them all")

    async def test(fronts):
        return await fronts.call("Predict", predict_request(x=[1]))

    with_fronts(test, grpc_channel_arguments=(("grpc.lb_policy_name", "x"), ("grpc.max_connection_age_ms", 60_000)))
    assert [record.message for record in caplog.records if "argument" in record.message] == [
        "grpc.lb_policy_name of --grpc_channel_arguments has no effect"
    ]


def test_the_front_ends_load_no_tensorflow():
    code = (
        "import sys, serving.server.front.grpc.grpc_server, serving.server.front.rest.rest_server\n"
        "import serving.server.main, serving.server.processes.serving_process\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
