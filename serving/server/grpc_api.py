"""gRPC: PredictionService and ModelService, health, reflection (tensorflow_serving/model_servers/*_service_impl.cc)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from serving import protos
from serving.errors import OptionsError, StatusError
from serving.server import health, reflection
from serving.server.api_keys import NO_HEADERS
from serving.server.frontend import Frontend
from serving.server.grpc_methods import METHODS, answer
from serving.server.options import ServerOptions, TlsFiles

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_DETAILS = 4000  # characters of a message: clients refuse headers over 8 or 16 KiB
_HEALTH_SECONDS = 1.0
_TF_HEALTH_NAMES = ("ModelService", "PredictionService")  # the names that TF Serving reports


class GrpcServer:
    """The gRPC side of one process; make it, `start` it, `stop` it.

    Args:
        frontend: what answers.
        share_port: whether other processes listen on the port as well; else a port in use is an error.
        use_socket_path: whether the UNIX socket of the options is this process's.
    """

    def __init__(self, frontend: Frontend, *, share_port: bool = False, use_socket_path: bool = True) -> None:
        self._frontend, options = frontend, frontend.options
        self._tls = options.tls
        self._server = grpc.aio.server(options=_channel_arguments(options, share_port))
        for service, methods in METHODS.items():
            handlers = {name: _handler(frontend, service, name) for name in methods}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = health.Health() if options.enable_grpc_healthcheck_service else None
        if self._health is not None:
            self._server.add_generic_rpc_handlers((self._health.handler(),))
        if options.enable_grpc_reflection:
            more = {health.SERVICE: health.FILE} if self._health is not None else {}
            services = [*METHODS, *more]
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

    def reload_tls(self, tls: TlsFiles) -> None:
        """Takes other certificates for new connections; whether clients must have one stays as it was."""
        self._tls = tls

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
            state.set(models | dict.fromkeys(("", *METHODS, *_TF_HEALTH_NAMES), ready))
            await asyncio.sleep(_HEALTH_SECONDS)

    def _bind(self, address: str) -> int:
        tls = self._frontend.options.tls
        try:
            if tls is None:
                return int(self._server.add_insecure_port(address))
            # What `_certificates` gives is asked for by every new connection.
            credentials = grpc.dynamic_ssl_server_credentials(
                _certificates(tls), lambda: _certificates(self._tls), tls.client_verify
            )
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise OptionsError(
                f"gRPC cannot listen on {address}",
                got=str(error).splitlines()[0],
                expected="an address of this machine that nothing else uses",
                fix="stop what listens there, or choose another --port",
            ) from error


def _certificates(tls: TlsFiles | None) -> Any:
    assert tls is not None, "a server with TLS keeps it"
    return grpc.ssl_server_certificate_configuration([(tls.server_key, tls.server_cert)], tls.custom_ca or None)


def _handler(frontend: Frontend, service: str, method: str) -> Any:
    """A raw unary handler: bytes to bytes."""

    async def handle(body: bytes, context: Any) -> bytes:
        left = context.time_remaining()
        deadline = None if left is None else asyncio.get_running_loop().time() + left
        try:
            headers = dict(context.invocation_metadata()) if frontend.keys is not None else NO_HEADERS
            return await answer(frontend, service, method, body, deadline, peer=context.peer(), headers=headers)
        except StatusError as error:
            context.set_code(_CODES[error.code.number])
            context.set_details(error.message[:_MAX_DETAILS])
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
