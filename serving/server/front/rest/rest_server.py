"""REST, over aiohttp's server without its router (tensorflow_serving/model_servers/http_server.cc).

Every response of the API is JSON, an error as `{"error": "..."}`. Limits that TF Serving lacks give status 413 (body)
and 429 (requests in flight).
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.request_limits import Reservation
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.flag_files import ssl_context
from serving.server.front.connections import PROGRESS_BYTES, Connections, ConnectionState
from serving.server.front.frontend import Frontend
from serving.server.front.json.json_errors import error_body
from serving.server.front.listening import SocketListener, bind_tcp
from serving.server.front.page.try_page import TryPage
from serving.server.front.ports import address_unavailable
from serving.server.front.rest.http1_connection import JSON, Http1Connection, content_length
from serving.server.front.rest.parsing_turns import ParsingTurns
from serving.server.front.rest.rest_methods import TooLargeError, respond
from serving.server.front.rest.rest_routes import API
from serving.server.front.rest.single_write_response import SingleWriteResponse, reason_of
from serving.server.options import TlsFiles

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_JSON_FIELDS = {"Content-Type": JSON}
_ORIGIN = re.compile("https?://")
_GZIP_ACCEPTED = re.compile(r"(?:^|,)\s*gzip\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)
_GZIP_FROM_BYTES, _GZIP_LEVEL = 1024, 1
_GZIP_WBITS = 31
_CONTINUE = "100-continue"
_BODY_SECONDS, _BODY_BYTES_PER_SECOND = 30.0, 2**16  # for a body; the seconds grow with the bytes received
_LAST_BYTES_SECONDS = 1.0  # for responses being sent when the server stops


class RestServer:
    """The REST server of one process: create it, `start` it, `stop` it.

    Args:
        frontend: handles the requests.
        share_port: whether other processes listen on the same port; otherwise a port in use is an error.
    """

    def __init__(self, frontend: Frontend, *, share_port: bool = False) -> None:
        self._frontend, self._share_port = frontend, share_port
        self._options = frontend.options
        self._page = TryPage(frontend) if self._options.page else None
        self._server = _Server(
            frontend.connections, self._handle, request_factory=self._make_request, handler_cancellation=True
        )
        self._listener: SocketListener | None = None

    async def start(self) -> None:
        """Starts to accept requests.

        Raises:
            OptionsError: the port is in use.
        """
        options = self._options
        try:
            sockets = bind_tcp(options.host, options.rest_api_port, shared=self._share_port)
            tls = ssl_context(options.tls) if options.tls else None
            self._listener = SocketListener(sockets, self._frontend.connections, self._server, tls)
        except OSError as error:
            what = f"REST cannot listen on {options.host}:{options.rest_api_port}"
            raise address_unavailable(what, error.strerror or str(error), "rest_api_port") from error

    def reload_tls(self, tls: TlsFiles) -> None:
        """Uses other certificates for new connections.

        Raises:
            ssl.SSLError, ValueError: they cannot be used; the old ones stay in force.
        """
        if self._listener is not None:
            self._listener.tls = ssl_context(tls)

    async def close(self) -> None:
        """Accepts no more connections; open ones stay."""
        if self._listener is not None:
            self._listener.close()

    async def stop(self) -> None:
        """Ends all connections."""
        await self.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_LAST_BYTES_SECONDS)

    def _make_request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        protocol.begin_request(message, payload)
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        held = self._frontend.new_reservation()
        try:
            return await self._respond(request, held)
        finally:
            held.release()

    async def _respond(self, request: web.BaseRequest, held: Reservation) -> web.StreamResponse:
        path = _path(request)
        if path.partition("?")[0] == self._options.metrics_path:
            return await self._metrics_page(request)
        if self._page is not None and (found := await self._page.answer(request.method, path, request.headers)):
            return await self._response(request, *found)
        if not API.fullmatch(path):
            return await self._response(request, 404, error_body("Not Found"))
        if request.method == "OPTIONS":
            return await self._preflight(request)
        if request.headers.get("Expect", _CONTINUE).lower() != _CONTINUE:
            return await self._response(request, 417, error_body(f"The only supported Expect is {_CONTINUE}"))
        gzipped = "gzip" in request.headers.get("Content-Encoding", "").lower()
        status, body = await respond(
            self._frontend,
            request.method,
            path,
            lambda: self._read_body(request, held),
            gzipped=gzipped,
            held=held,
            headers=request.headers,
        )
        return await self._response(request, status, body)

    async def _metrics_page(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._frontend.authenticate(request.headers)
        except StatusError as error:
            return await self._response(request, error.code.http, error_body(error.message))
        return web.Response(text=await self._frontend.scrape(), content_type="text/plain")

    async def _read_body(self, request: web.BaseRequest, held: Reservation) -> bytes:
        limit = self._options.max_message_bytes
        if request.content.is_eof():
            body = request.content.read_nowait()
            held.take(size=len(body))
        elif content_length(request.headers) > limit:
            raise TooLargeError
        else:
            try:
                body = await self._read_pieces(request, held)
            except TimeoutError as error:
                message = "The body of the request did not arrive in time"
                raise StatusError(Code.DEADLINE_EXCEEDED, message) from error
            except web.RequestPayloadError as error:
                message = "The body of the request is cut off or not HTTP"
                raise invalid_argument(message) from error
        if len(body) > limit:
            raise TooLargeError
        return body

    async def _read_pieces(self, request: web.BaseRequest, held: Reservation) -> bytes:
        """A body that did not arrive complete with its header."""
        content, connection = request.content, _connection(request)
        pieces, touched = [], 0
        if "Expect" in request.headers and request.version >= (1, 1):
            connection.write_continue()
        async with asyncio.timeout(_BODY_SECONDS) as deadline:
            while piece := await content.readany():
                held.take(size=len(piece))
                pieces.append(piece)
                connection.body_bytes += len(piece)
                if connection.body_bytes > self._options.max_message_bytes:
                    raise TooLargeError
                if connection.body_bytes - touched >= PROGRESS_BYTES:
                    touched = connection.body_bytes
                    connection.touch(ConnectionState.RECEIVING)
                    deadline.reschedule((deadline.when() or 0) + PROGRESS_BYTES / _BODY_BYTES_PER_SECOND)
        connection.touch(ConnectionState.RUNNING)
        return b"".join(pieces)

    async def _preflight(self, request: web.BaseRequest) -> web.StreamResponse:
        if _ORIGIN.search(request.headers.get("Origin", "")):
            return await self._response(request, 200, b"")
        return await self._response(request, 400, error_body("Origin header is missing in CORS preflight"))

    async def _response(
        self, request: web.BaseRequest, status: int, body: bytes, fields: Mapping[str, str] = _JSON_FIELDS
    ) -> web.StreamResponse:
        pieces: Sequence[bytes | memoryview]
        headers = dict(_CORS) if self._options.rest_api_enable_cors_support else {}
        headers |= fields
        if status == Code.UNAUTHENTICATED.http:
            headers["WWW-Authenticate"] = "Bearer"
        if len(body) >= _GZIP_FROM_BYTES and _GZIP_ACCEPTED.search(request.headers.get("Accept-Encoding", "")):
            pieces = await _gzipped(body)
            headers["Content-Encoding"], headers["Vary"] = "gzip", "Accept-Encoding"
        elif len(body) > INLINE_BYTES:
            pieces = _pieces(body)
        else:
            pieces = [body]
        if len(pieces) > 1 and request.method != "HEAD":
            response = web.StreamResponse(status=status, reason=reason_of(status), headers=headers)
            return await self._send_pieces(request, response, pieces)
        single = SingleWriteResponse(status, pieces[0] if len(pieces) == 1 else b"".join(pieces), headers)
        self._close_if_draining(single)
        return single

    async def _send_pieces(
        self, request: web.BaseRequest, response: web.StreamResponse, pieces: Sequence[bytes | memoryview]
    ) -> web.StreamResponse:
        """Writes a large response as the client takes it."""
        connection = _connection(request)
        response.content_length = sum(map(len, pieces))
        self._close_if_draining(response)
        connection.touch(ConnectionState.SENDING)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            connection.touch(ConnectionState.SENDING)
            await asyncio.sleep(0)  # a fast client must not keep the loop to itself
        await response.write_eof()
        return response

    def _close_if_draining(self, response: web.StreamResponse) -> None:
        if self._frontend.draining:
            response.force_close()


class _Server(web.Server):
    """Makes `Http1Connection`s."""

    def __init__(self, connections: Connections, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shared_connections, self._turns = connections, ParsingTurns()

    def __call__(self) -> web.RequestHandler:
        return Http1Connection(self, self._shared_connections, self._turns)


def _connection(request: web.BaseRequest) -> Http1Connection:
    connection = request.protocol
    assert isinstance(connection, Http1Connection)
    return connection


def _pieces(body: bytes) -> list[bytes | memoryview]:
    view = memoryview(body)
    return [view[start : start + PROGRESS_BYTES] for start in range(0, len(body), PROGRESS_BYTES)]


async def _gzipped(body: bytes) -> Sequence[bytes | memoryview]:
    """The body in gzip; a large one is compressed in threads, piece by piece, until its caller stops waiting."""
    if len(body) <= INLINE_BYTES:
        return [gzip.compress(body, _GZIP_LEVEL, mtime=0)]
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    packed = [await asyncio.to_thread(packer.compress, piece) for piece in _pieces(body)]
    return [*filter(None, packed), await asyncio.to_thread(packer.flush)]


def _path(request: web.BaseRequest) -> str:
    """The path as sent, including the query, without the scheme and host that some proxies send."""
    path = request.raw_path
    if path.startswith("/"):
        return path
    _, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found else path
