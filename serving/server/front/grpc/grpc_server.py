"""gRPC: PredictionService and ModelService, health, reflection (tensorflow_serving/model_servers/*_service_impl.cc).

nghttp2 carries it, see `serving/server/front/http2`; where it is missing, grpcio does, with weaker limits.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from serving.errors import OptionsError
from serving.server.api_keys import NO_HEADERS
from serving.server.flag_files import ssl_context
from serving.server.front.frontend import Frontend
from serving.server.front.grpc import health, reflection
from serving.server.front.grpc.grpc_methods import METHODS, handle
from serving.server.front.grpc_call import GrpcCall, GrpcMethod
from serving.server.front.http2.channel_arguments import parse_channel_arguments
from serving.server.front.http2.http2_server import Http2Server
from serving.server.front.http2.nghttp2 import load
from serving.server.front.listening import bind_tcp, bind_unix
from serving.server.front.ports import address_unavailable
from serving.server.options import TlsFiles

if TYPE_CHECKING:
    from serving.server.front.grpc.grpcio_server import GrpcioServer

LOG = logging.getLogger("serving")

_HEALTH_SECONDS = 1.0
_TF_HEALTH_NAMES = ("ModelService", "PredictionService")  # as TF Serving names them


class GrpcServer:
    """The gRPC side of one process. Create it, `start` it, `stop` it.

    Args:
        share_port: whether other processes listen on the port as well; otherwise a port in use is an error.
        use_socket_path: whether this process listens on the UNIX socket of the options.

    Raises:
        OptionsError: an address cannot be listened on.
    """

    def __init__(self, frontend: Frontend, *, share_port: bool = False, use_socket_path: bool = True) -> None:
        self._frontend, options = frontend, frontend.options
        self._health = health.Health() if options.enable_grpc_healthcheck_service else None
        self._health_task: asyncio.Task[None] | None = None
        self._server: Http2Server | GrpcioServer
        self._sockets: list[socket.socket] = []
        methods = self._methods()
        socket_path = options.grpc_socket_path if use_socket_path else None
        library = load()
        if library is None:
            from serving.server.front.grpc.grpcio_server import GrpcioServer

            LOG.warning("gRPC is served by grpcio: slower, and with weaker limits. To change that, install libnghttp2")
            self._server = GrpcioServer(frontend, methods, share_port, socket_path)
            self.port = self._server.port
            return
        settings, unknown = parse_channel_arguments(options.grpc_channel_arguments, options.max_message_bytes)
        for name in unknown:
            LOG.warning("%s of --grpc_channel_arguments has no effect", name)
        by_path = {path.encode(): method for path, method in methods.items()}
        self._server = Http2Server(library, by_path, settings, frontend.connections, frontend.new_reservation)
        address = f"{options.host}:{options.port}"
        try:
            if options.port:
                self._sockets += bind_tcp(options.host, options.port, shared=share_port)
            if socket_path is not None:
                address = f"unix:{socket_path}"
                self._sockets.append(bind_unix(socket_path))
        except OSError as error:
            raise _cannot_listen(address, error.strerror or str(error)) from error
        self.port = self._sockets[0].getsockname()[1] if options.port else 0

    async def start(self) -> None:
        """Starts serving.

        Raises:
            OptionsError: the port is in use.
        """
        if isinstance(self._server, Http2Server):
            tls = self._frontend.options.tls
            try:
                self._server.start(self._sockets, _ssl_context(tls) if tls else None)
            except OSError as error:
                raise _cannot_listen(f"port {self.port}", error.strerror or str(error)) from error
        else:
            await self._server.start()
        if self._health is not None:
            self._health_task = asyncio.create_task(self._update_health(self._health))

    def reload_tls(self, tls: TlsFiles) -> None:
        """Replaces the certificates for new connections.

        Raises:
            ssl.SSLError, ValueError: they cannot be used; the old ones stay in use.
        """
        if isinstance(self._server, Http2Server):
            self._server.set_tls(_ssl_context(tls))
        else:
            self._server.set_tls(tls)

    async def drain(self) -> None:
        """Reports NOT_SERVING to health checks, so that no more requests arrive."""
        if self._health_task is not None:
            self._health_task.cancel()
        if self._health is not None:
            self._health.close()

    async def stop(self, seconds: float) -> None:
        """Accepts no more requests, and gives those in flight this many seconds."""
        await self._server.stop(seconds)

    async def _update_health(self, state: health.Health) -> None:
        while True:
            ready = self._frontend.service.ready()
            models = {name: self._frontend.is_available(name) for name in self._frontend.model_names}
            state.set(models | dict.fromkeys(("", *METHODS, *_TF_HEALTH_NAMES), ready))
            await asyncio.sleep(_HEALTH_SECONDS)

    def _methods(self) -> dict[str, GrpcMethod]:
        """All methods by path."""
        methods = {
            f"/{service}/{name}": _method(self._frontend, service, name)
            for service in METHODS
            for name in METHODS[service]
        }
        if self._health is not None:
            methods |= self._health.methods()
        if self._frontend.options.enable_grpc_reflection:
            more = [health.SERVICE] if self._health is not None else []
            methods |= reflection.methods([*METHODS, *more])
        return methods


def _method(frontend: Frontend, service: str, name: str) -> GrpcMethod:
    async def unary(body: bytes, call: GrpcCall) -> bytes:
        headers = NO_HEADERS if frontend.keys is None else call.metadata()
        return await handle(frontend, service, name, body, call.deadline, call.held, peer=call.peer, headers=headers)

    return GrpcMethod(unary)


def _ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl_context(tls)
    context.set_alpn_protocols(["h2"])
    return context


def _cannot_listen(address: str, got: str) -> OptionsError:
    return address_unavailable(f"gRPC cannot listen on {address}", got, "port")
