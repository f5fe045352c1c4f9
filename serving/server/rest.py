"""REST, over aiohttp's server without its router (tensorflow_serving/model_servers/http_server.cc).

Every answer is JSON, an error as `{"error": "..."}`. Limits that TF Serving lacks answer 413 (body) and 429 (requests
in flight).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

from aiohttp import web

from serving.errors import Code, OptionsError, StatusError
from serving.server.frontend import Frontend
from serving.server.options import TlsFiles
from serving.server.rest_methods import TooLargeError, answer, error_body
from serving.server.rest_routes import API
from serving.server.text_files import ssl_context

_JSON = "application/json"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_ORIGIN = re.compile("https?://")
_GZIP_ACCEPTED = re.compile(r"(?:^|,)\s*gzip\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)
_GZIP_FROM_BYTES, _GZIP_LEVEL = 1024, 1
_BODY_SECONDS = 30.0
_LAST_BYTES_SECONDS = 1.0  # for answers on their way when the server stops
_BACKLOG = 1024


class RestServer:
    """The REST side of one process; make it, `start` it, `stop` it.

    Args:
        frontend: what answers.
        share_port: whether other processes listen on the port as well; else a port in use is an error.
    """

    def __init__(self, frontend: Frontend, *, share_port: bool = False) -> None:
        self._frontend, self._share_port = frontend, share_port
        self._options = frontend.options
        self._server = web.Server(self._handle, request_factory=self._request, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=_LAST_BYTES_SECONDS)
        self._site: web.TCPSite | None = None
        self._tls = self._new_tls = ssl_context(self._options.tls) if self._options.tls else None
        if self._tls is not None:
            self._tls.sni_callback = lambda connection, name, context: setattr(connection, "context", self._new_tls)

    async def start(self) -> None:
        """Begins to answer.

        Raises:
            OptionsError: the port is in use.
        """
        options = self._options
        await self._runner.setup()
        self._site = web.TCPSite(
            self._runner,
            options.host,
            options.rest_api_port,
            ssl_context=self._tls,
            reuse_port=self._share_port or None,
            backlog=_BACKLOG,
        )
        try:
            await self._site.start()
        except OSError as error:
            raise OptionsError(
                f"REST cannot listen on {options.host}:{options.rest_api_port}",
                got=error.strerror or str(error),
                expected="an address of this machine that nothing else uses",
                fix="stop what listens there, or choose another --rest_api_port",
            ) from error

    def reload_tls(self, tls: TlsFiles) -> None:
        """Takes other certificates for new connections.

        Raises:
            ssl.SSLError, ValueError: they cannot be used; the old ones stay.
        """
        self._new_tls = ssl_context(tls)

    async def close(self) -> None:
        """Takes no more connections; those that are open go on."""
        if self._site is not None:
            await self._site.stop()

    async def stop(self) -> None:
        """Ends all connections."""
        self._server.pre_shutdown()
        await self._runner.cleanup()

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        # One more than may be: `_body` tells a body that is just as large from one that is larger.
        limit = self._options.max_message_bytes + 1
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _path(request)
        if path.partition("?")[0] == self._options.metrics_path:
            return await self._metrics(request)
        if not API.fullmatch(path):
            return self._answer(request, 404, error_body("Not Found"))
        if request.method == "OPTIONS":
            return self._preflight(request)
        gzipped = "gzip" in request.headers.get("Content-Encoding", "")
        answered = await answer(
            self._frontend,
            request.method,
            path,
            lambda: self._body(request),
            gzipped=gzipped,
            headers=request.headers,
        )
        return self._answer(request, answered.status, answered.body)

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._frontend.authenticate(request.headers)
        except StatusError as error:
            return self._answer(request, error.code.http, error_body(error.message))
        return web.Response(text=await self._frontend.scrape(), content_type="text/plain")

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._options.max_message_bytes
        if (request.content_length or 0) > limit:
            raise TooLargeError
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                return await request.read()
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, "The body of the request did not arrive in time") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLargeError from error
        except web.RequestPayloadError as error:
            raise StatusError(Code.INVALID_ARGUMENT, "The body of the request is cut off or no HTTP") from error

    def _preflight(self, request: web.BaseRequest) -> web.Response:
        if _ORIGIN.search(request.headers.get("Origin", "")):
            return self._answer(request, 200, b"")
        return self._answer(request, 400, error_body("Origin header is missing in CORS preflight"))

    def _answer(self, request: web.BaseRequest, status: int, body: bytes) -> web.Response:
        headers = dict(_CORS) if self._options.rest_api_enable_cors_support else {}
        headers["Content-Type"] = _JSON
        if status == Code.UNAUTHENTICATED.http:
            headers["WWW-Authenticate"] = "Bearer"
        if len(body) >= _GZIP_FROM_BYTES and _GZIP_ACCEPTED.search(request.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"], headers["Vary"] = "gzip", "Accept-Encoding"
        response = web.Response(body=body, status=status, reason=_REASONS.get(status), headers=headers)
        if self._frontend.draining:
            response.force_close()
        return response


_REASONS = {499: "Client Closed Request"}


def _path(request: web.BaseRequest) -> str:
    """The path as it was sent, with its query, without scheme and host where a proxy sent them."""
    path = request.raw_path
    if path.startswith("/"):
        return path
    _, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found else path
