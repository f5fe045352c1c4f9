"""Runs both front ends on free ports around the fake service, in the test's own event loop. Not a test itself."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket

import grpc
import httpx
import numpy as np
from fake_service import FakeService

from serving.server.calls.request_tensors import encode_outputs
from serving.server.flags import single_model
from serving.server.front.frontend import Frontend
from serving.server.front.grpc.grpc_server import GrpcServer
from serving.server.front.rest.rest_server import RestServer
from serving.server.front.server_metrics import Metrics
from serving.server.options import ServerOptions
from serving.wire import protos

HOST = "127.0.0.1"
TIMEOUT = 20.0


def free_ports():
    """One for gRPC and another for REST."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]


def options(**changes):
    port, rest_port = free_ports()
    base = ServerOptions(models=single_model("m", "/m"), host=HOST, port=port, rest_api_port=rest_port)
    return dataclasses.replace(base, **changes)


def predict_request(name="m", signature="", version=None, label=None, **inputs):
    request = protos.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    encode_outputs(request.inputs, {key: np.array(value, np.float32) for key, value in inputs.items()})
    return request


@dataclasses.dataclass
class Running:
    frontend: Frontend
    grpc: GrpcServer
    rest: RestServer
    channel: grpc.aio.Channel
    http: httpx.AsyncClient

    async def call(self, method, request, service=protos.PREDICTION_SERVICE, **how):
        """The response, or the code's name and the message."""
        answer = protos.methods(service)[method][1]
        body = request if isinstance(request, bytes) else request.SerializeToString()
        call = self.channel.unary_unary(f"/{service}/{method}", response_deserializer=answer.FromString)
        try:
            return await call(body, **({"timeout": TIMEOUT} | how))
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details()


@contextlib.asynccontextmanager
async def running(make=FakeService, **changes):
    """Both front ends of a service that `make` makes."""
    chosen = options(**changes)
    service = make(chosen)
    await service.start()
    frontend = Frontend(service, chosen, metrics=Metrics())
    servers = GrpcServer(frontend), RestServer(frontend)
    for server in servers:
        await server.start()
    channel = grpc.aio.insecure_channel(f"{HOST}:{chosen.port}")
    async with channel, httpx.AsyncClient(base_url=f"http://{HOST}:{chosen.rest_api_port}", timeout=TIMEOUT) as http:
        yield Running(frontend, *servers, channel, http)
    await servers[1].close()
    await servers[0].drain()
    await servers[0].stop(0)
    await servers[1].stop()
    await service.stop()


def with_fronts(test, **changes):
    """Runs `test(running)`, bounded in time."""

    async def bounded():
        async with asyncio.timeout(60), running(**changes) as fronts:
            return await test(fronts)

    return asyncio.run(bounded())
