"""gRPC over grpcio, where nghttp2 is missing. Its limits are those that grpcio's arguments can set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from serving.errors import StatusError
from serving.server.calls.request_limits import Reservation
from serving.server.front.frontend import Frontend
from serving.server.front.grpc_call import GrpcMethod
from serving.server.front.http2.grpc_headers import truncate_details
from serving.server.front.ports import address_unavailable
from serving.server.options import ServerOptions, TlsFiles

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_STREAMS, _MAX_METADATA_BYTES = 256, 2**14


class GrpcioServer:
    """Create it in the event loop.

    Args:
        methods: by path.
        share_port: whether other processes listen on the port as well.
        socket_path: of a UNIX socket to listen on in addition to the port.

    Raises:
        OptionsError: an address is in use.
    """

    def __init__(
        self, frontend: Frontend, methods: Mapping[str, GrpcMethod], share_port: bool, socket_path: Path | None
    ) -> None:
        self._frontend, options, self._tls = frontend, frontend.options, frontend.options.tls
        self._server = grpc.aio.server(options=_channel_arguments(options, share_port))
        by_service: dict[str, dict[str, Any]] = {}
        for path, method in methods.items():
            _, service, name = path.split("/")
            by_service.setdefault(service, {})[name] = _handler(frontend, method)
        for service, handlers in by_service.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._bind(f"{_bracketed(options.host)}:{options.port}") if options.port else 0
        if socket_path is not None:
            self._bind(f"unix:{socket_path}")

    def set_tls(self, tls: TlsFiles) -> None:
        """Sets the certificates of new connections. Whether clients need one does not change."""
        self._tls = tls

    async def start(self) -> None:
        """Starts serving."""
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Accepts no more requests, and gives those in flight this many seconds."""
        await self._server.stop(seconds)

    def _bind(self, address: str) -> int:
        tls = self._tls
        try:
            if tls is None:
                return int(self._server.add_insecure_port(address))
            # Every new connection calls the lambda.
            credentials = grpc.dynamic_ssl_server_credentials(
                _certificates(tls), lambda: _certificates(self._tls or tls), tls.client_verify
            )
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise address_unavailable(f"gRPC cannot listen on {address}", str(error).splitlines()[0], "port") from error


class _GrpcioCall:
    """A `GrpcCall`."""

    def __init__(self, frontend: Frontend, context: Any) -> None:
        left = context.time_remaining()
        self.deadline = None if left is None else asyncio.get_running_loop().time() + left
        self.held: Reservation = frontend.new_reservation()
        self._context = context

    @property
    def peer(self) -> str:
        return str(self._context.peer())

    def metadata(self) -> Mapping[str, str]:
        pairs = self._context.invocation_metadata()
        return {name: value for name, value in pairs if isinstance(value, str)}


def _handler(frontend: Frontend, method: GrpcMethod) -> Any:
    async def unary(body: bytes, context: Any) -> bytes:
        assert method.unary is not None
        call = _GrpcioCall(frontend, context)
        try:
            call.held.take(size=len(body))
            return await method.unary(body, call)
        except StatusError as error:
            _set_status(context, error)
            return b""
        finally:
            call.held.release()

    async def stream(bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        assert method.stream is not None
        try:
            async for message in method.stream(bodies, _GrpcioCall(frontend, context)):
                yield message
        except StatusError as error:
            _set_status(context, error)

    async def one_to_stream(body: bytes, context: Any) -> AsyncIterator[bytes]:
        async for message in stream(_once(body), context):
            yield message

    if method.unary is not None:
        return grpc.unary_unary_rpc_method_handler(unary)
    if method.single_request:
        return grpc.unary_stream_rpc_method_handler(one_to_stream)
    return grpc.stream_stream_rpc_method_handler(stream)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _set_status(context: Any, error: StatusError) -> None:
    # Its traceback would keep alive the frames that it came through, with the message of the request.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    context.set_code(_CODES[error.code.number])
    context.set_details(truncate_details(error.message))


def _certificates(tls: TlsFiles) -> Any:
    return grpc.ssl_server_certificate_configuration([(tls.server_key, tls.server_cert)], tls.custom_ca or None)


def _channel_arguments(options: ServerOptions, share_port: bool) -> list[tuple[str, Any]]:
    defaults = {
        "grpc.so_reuseport": int(share_port),
        "grpc.max_receive_message_length": options.max_message_bytes,
        "grpc.max_send_message_length": -1,
        "grpc.max_concurrent_streams": _MAX_STREAMS,
        "grpc.max_allowed_incoming_connections": options.max_connections,
        "grpc.server_handshake_timeout_ms": 10_000,
        "grpc.absolute_max_metadata_size": _MAX_METADATA_BYTES,
        "grpc.http2.bdp_probe": 0,
    }
    return list((defaults | dict(options.grpc_channel_arguments)).items())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
