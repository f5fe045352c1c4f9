"""gRPC: PredictionService and ModelService, health, reflection (tensorflow_serving/model_servers/*_service_impl.cc).

Messages are read and written here rather than by grpcio, so that a message that cannot be read is an answer and not a
traceback, and so that arrays are decoded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from serving import protos
from serving.errors import Code, OptionsError, StatusError
from serving.server import health, reflection
from serving.server.frontend import Frontend, since
from serving.server.options import ServerOptions
from serving.server.tensors import decode_inputs, encode_outputs
from serving.server.unexpected import unexpected

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_DETAILS = 4000  # characters of a message: clients refuse headers over 8 or 16 KiB
_HEALTH_SECONDS = 1.0
_TF_HEALTH_NAMES = ("ModelService", "PredictionService")  # the names that TF Serving reports

Answer = Callable[[Frontend, Any, float | None], Awaitable[Any]]


async def _predict(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    inputs = decode_inputs(request.inputs, frontend.options.max_message_bytes)
    predicted = await frontend.service.predict(request.model_spec, inputs, request.output_filter, deadline)
    response = protos.PredictResponse()
    response.model_spec.CopyFrom(predicted.model_spec)
    encode_outputs(response.outputs, predicted.outputs, frontend.options.enable_serialization_as_tensor_content)
    return response


async def _classify(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return await frontend.service.classify(request, deadline)


async def _regress(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return await frontend.service.regress(request, deadline)


async def _multi_inference(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return await frontend.service.multi_inference(request, deadline)


async def _get_model_metadata(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return frontend.service.get_model_metadata(request)


async def _get_model_status(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return frontend.service.get_model_status(request)


async def _reload(frontend: Frontend, request: Any, deadline: float | None) -> Any:
    return await frontend.reload(request)


_METHODS: dict[str, dict[str, Answer]] = {
    protos.PREDICTION_SERVICE: {
        "Predict": _predict,
        "Classify": _classify,
        "Regress": _regress,
        "MultiInference": _multi_inference,
        "GetModelMetadata": _get_model_metadata,
    },
    protos.MODEL_SERVICE: {"GetModelStatus": _get_model_status, "HandleReloadConfigRequest": _reload},
}
_COUNTED = ("Predict", "Classify", "Regress")  # what TF Serving counts
_LIMITED = (*_COUNTED, "MultiInference")  # a probe or a reload is answered under any load


class GrpcServer:
    """The gRPC side of one process; make it, `start` it, `stop` it.

    Args:
        frontend: what answers.
        share_port: whether other processes listen on the port as well; else a port in use is an error.
        use_socket_path: whether the UNIX socket of the options is this process's.
    """

    def __init__(self, frontend: Frontend, *, share_port: bool = False, use_socket_path: bool = True) -> None:
        self._frontend, options = frontend, frontend.options
        self._server = grpc.aio.server(options=_channel_arguments(options, share_port))
        for service, methods in _METHODS.items():
            handlers = {name: _handler(frontend, service, name, methods[name]) for name in methods}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = health.Health() if options.enable_grpc_healthcheck_service else None
        if self._health is not None:
            self._server.add_generic_rpc_handlers((self._health.handler(),))
        if options.enable_grpc_reflection:
            more = {health.SERVICE: health.FILE} if self._health is not None else {}
            services = [*_METHODS, *more]
            self._server.add_generic_rpc_handlers(reflection.handlers(services, protos.POOL, more.values()))
        self.port = self._bind(f"{_bracketed(options.host)}:{options.port}") if options.port else 0
        if options.grpc_socket_path is not None and use_socket_path:
            self._bind(f"unix:{options.grpc_socket_path}")
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to answer."""
        await self._server.start()
        if self._health is not None:
            self._following = asyncio.create_task(self._follow_health(self._health))

    async def drain(self) -> None:
        """Tells who watches the health that no more requests should come."""
        if self._following is not None:
            self._following.cancel()
        if self._health is not None:
            self._health.close()

    async def stop(self, seconds: float) -> None:
        """Takes no more requests, and gives those in flight so many seconds."""
        await self._server.stop(seconds)

    async def _follow_health(self, state: health.Health) -> None:
        while True:
            ready = self._frontend.service.ready()
            models = {name: self._frontend.available(name) for name in self._frontend.model_names()}
            state.set(models | dict.fromkeys(("", *_METHODS, *_TF_HEALTH_NAMES), ready))
            await asyncio.sleep(_HEALTH_SECONDS)

    def _bind(self, address: str) -> int:
        tls = self._frontend.options.tls
        try:
            if tls is None:
                return int(self._server.add_insecure_port(address))
            credentials = grpc.ssl_server_credentials(
                [(tls.server_key, tls.server_cert)], tls.custom_ca or None, tls.client_verify
            )
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise OptionsError(
                f"gRPC cannot listen on {address}",
                got=str(error).splitlines()[0],
                expected="an address of this machine that nothing else uses",
                fix="stop what listens there, or choose another --port",
            ) from error


def _handler(frontend: Frontend, service: str, method: str, answer: Answer) -> Any:
    """A raw unary handler: bytes to bytes."""
    parse = protos.methods(service)[method][0].FromString
    counted, limited = method in _COUNTED, method in _LIMITED
    what = f"{service}/{method}"

    async def handle(body: bytes, context: Any) -> bytes:
        start = time.perf_counter()
        name = ""
        try:
            request = parse(body)
            if counted:
                name = request.model_spec.name
            left = context.time_remaining()
            deadline = None if left is None else asyncio.get_running_loop().time() + left
            with frontend.entered() if limited else contextlib.nullcontext():
                response: Message = await answer(frontend, request, deadline)
                encoded = bytes(response.SerializeToString())
        except StatusError as error:
            status = error
        except DecodeError:
            status = StatusError(Code.INTERNAL, f"The request is no {what} message")
        except Exception as error:  # noqa: BLE001  `unexpected` logs it
            status = unexpected(error, what)
        else:
            if counted:
                frontend.metrics.request(name, method, "GRPC", "OK", since(start))
            return encoded
        if counted:
            frontend.metrics.request(name, method, "GRPC", status.code.name, 0)
        context.set_code(_CODES[status.code.number])
        context.set_details(status.message[:_MAX_DETAILS])
        return b""

    return grpc.unary_unary_rpc_method_handler(handle)


def _channel_arguments(options: ServerOptions, share_port: bool) -> list[tuple[str, Any]]:
    ours = {
        "grpc.so_reuseport": int(share_port),
        "grpc.max_receive_message_length": options.max_message_bytes,
        "grpc.max_send_message_length": -1,
    }
    return list((ours | dict(options.grpc_channel_arguments)).items())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
