"""REST, over aiohttp's server without its router (tensorflow_serving/model_servers/http_server.cc).

Every answer is JSON, an error as `{"error": "..."}`. Limits that TF Serving lacks answer 413 (body) and 429 (requests
in flight).
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from google.protobuf import json_format

from serving import protos
from serving.errors import Code, OptionsError, StatusError
from serving.server.frontend import Frontend, since
from serving.server.json_answers import encode_classifications, encode_predict, encode_regressions
from serving.server.json_examples import fill_examples
from serving.server.json_tensor import decode_predict
from serving.server.rest_routes import API, ASKED, Route, route
from serving.server.text_files import ssl_context
from serving.server.unexpected import unexpected

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
_GRACE_SECONDS = 1.0
_LAST_BYTES_SECONDS = 1.0  # for answers on their way when the server stops
_GZIP_WBITS = 31
_BACKLOG = 1024


class TooLargeError(Exception):
    """The body is larger than it may be: 413, for which the protocol has no code."""


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
            ssl_context=ssl_context(options.tls) if options.tls else None,
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
        start = time.perf_counter()
        path = _path(request)
        if path.partition("?")[0] == self._options.metrics_path:
            return web.Response(text=await self._frontend.scrape(), content_type="text/plain")
        if not API.fullmatch(path):
            return self._answer(request, 404, _error("Not Found"))
        if request.method == "OPTIONS":
            return self._preflight(request)
        found: Route | None = None
        try:
            found = route(request.method, path)
            body = await self._ask(found, request) if found.action in ASKED else self._look(found)
        except StatusError as error:
            status, body = error.code, _error(error.message)
        except TooLargeError:
            limit = self._options.max_message_bytes
            self._count(found, Code.RESOURCE_EXHAUSTED, start)
            return self._answer(request, 413, _error(f"Request larger than {limit} bytes (--max_message_bytes)"))
        except (ConnectionError, asyncio.CancelledError):  # the client has gone
            raise
        except Exception as error:  # noqa: BLE001  `unexpected` logs it
            failure = unexpected(error, f"{request.method} {path}")
            status, body = failure.code, _error(failure.message)
        else:
            status = Code.OK
        self._count(found, status, start)
        return self._answer(request, status.http, body)

    async def _ask(self, found: Route, request: web.BaseRequest) -> bytes:
        """Predict, classify or regress."""
        body = await self._body(request)
        loop, options = asyncio.get_running_loop(), self._options
        timeout = options.rest_api_timeout_in_ms / 1000
        deadline = loop.time() + timeout if timeout > 0 else None
        try:
            # The service keeps the deadline; this holds should it not.
            async with asyncio.timeout_at(None if deadline is None else deadline + _GRACE_SECONDS):
                with self._frontend.entered():
                    return await _ANSWERS[found.action](self._frontend, found.model_spec, body, deadline)
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification") from error

    def _look(self, found: Route) -> bytes:
        service = self._frontend.service
        if found.action == "metadata":
            request = protos.GetModelMetadataRequest(model_spec=found.model_spec, metadata_field=["signature_def"])
            return _metadata_json(service.get_model_metadata(request))
        status = service.get_model_status(protos.GetModelStatusRequest(model_spec=found.model_spec))
        return _pretty(_values(status))

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._options.max_message_bytes
        if (request.content_length or 0) > limit:
            raise TooLargeError
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, "The body of the request did not arrive in time") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLargeError from error
        except web.RequestPayloadError as error:
            raise StatusError(Code.INVALID_ARGUMENT, "The body of the request is cut off or no HTTP") from error
        return _gunzipped(body, limit) if "gzip" in request.headers.get("Content-Encoding", "") else body

    def _preflight(self, request: web.BaseRequest) -> web.Response:
        if _ORIGIN.search(request.headers.get("Origin", "")):
            return self._answer(request, 200, b"")
        return self._answer(request, 400, _error("Origin header is missing in CORS preflight"))

    def _answer(self, request: web.BaseRequest, status: int, body: bytes) -> web.Response:
        headers = dict(_CORS) if self._options.rest_api_enable_cors_support else {}
        headers["Content-Type"] = _JSON
        if len(body) >= _GZIP_FROM_BYTES and _GZIP_ACCEPTED.search(request.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"], headers["Vary"] = "gzip", "Accept-Encoding"
        response = web.Response(body=body, status=status, reason=_REASONS.get(status), headers=headers)
        if self._frontend.draining:
            response.force_close()
        return response

    def _count(self, found: Route | None, code: Code, start: float) -> None:
        name = found.model_spec.name if found else ""
        api = found.action if found and found.action in ASKED else ""
        self._frontend.metrics.request(name, api, "REST", code.name, since(start))


_REASONS = {499: "Client Closed Request"}


async def _predict(frontend: Frontend, spec: Any, body: bytes, deadline: float | None) -> bytes:
    def inputs_of(signature: str) -> Mapping[str, Any]:
        return frontend.service.inputs_of(spec, signature)

    signature, inputs, in_rows = decode_predict(body, inputs_of, frontend.options.max_json_depth)
    spec.signature_name = signature
    predicted = await frontend.service.predict(spec, inputs, (), deadline)
    return encode_predict(predicted.outputs, in_rows)


async def _classify(frontend: Frontend, spec: Any, body: bytes, deadline: float | None) -> bytes:
    request = protos.ClassificationRequest(model_spec=spec)
    fill_examples(body, request, frontend.options.max_json_depth)
    return encode_classifications((await frontend.service.classify(request, deadline)).result)


async def _regress(frontend: Frontend, spec: Any, body: bytes, deadline: float | None) -> bytes:
    request = protos.RegressionRequest(model_spec=spec)
    fill_examples(body, request, frontend.options.max_json_depth)
    return encode_regressions((await frontend.service.regress(request, deadline)).result)


_ANSWERS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _path(request: web.BaseRequest) -> str:
    """The path as it was sent, with its query, without scheme and host where a proxy sent them."""
    path = request.raw_path
    if path.startswith("/"):
        return path
    _, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found else path


def _gunzipped(body: bytes, limit: int) -> bytes:
    """What the body unpacks to; nothing where it is no gzip, as in TF Serving, and what follows its end is left.

    Raises:
        TooLargeError: it unpacks to more than `limit` bytes; no more than that is unpacked.
    """
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        return b""
    if len(unpacked) > limit:
        raise TooLargeError
    return unpacked if unpacker.eof else b""


def _error(message: str) -> bytes:
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()}, option=orjson.OPT_INDENT_2)


def _pretty(values: Any) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _values(message: Any, *, proto_names: bool = False) -> Any:
    return json_format.MessageToDict(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=proto_names,
        descriptor_pool=protos.POOL,
    )


def _metadata_json(response: Any) -> bytes:
    if "signature_def" not in response.metadata:
        words = "Failed to find 'signature_def' key in the GetModelMetadataResponse metadata map."
        raise StatusError(Code.INTERNAL, words)
    signatures = protos.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    metadata = {"signature_def": _values(signatures, proto_names=True)}
    return _pretty({"model_spec": _values(response.model_spec, proto_names=True), "metadata": metadata})
