"""The REST methods: from the body of a request to the body of its response, independent of the transport.

Source: tensorflow_serving/model_servers/http_rest_api_handler.cc. Responses are JSON, errors `{"error": "..."}`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import orjson
from google.protobuf import json_format

from serving.errors import Code, StatusError, unexpected
from serving.server.api_keys import NO_HEADERS
from serving.server.calls.example_inference import ENCODED_ITEM_BYTES
from serving.server.calls.request_context import RequestContext
from serving.server.calls.request_limits import Limits, Reservation
from serving.server.calls.request_tensors import output_bytes, size_of
from serving.server.calls.service_interface import Arrays
from serving.server.calls.worker_threads import INLINE_BYTES, Check, in_loop
from serving.server.front.frontend import Frontend, microseconds_since
from serving.server.front.json.json_errors import error_body
from serving.server.front.json.json_examples import fill_examples
from serving.server.front.json.json_predict import decode_predict
from serving.server.front.json.json_responses import encode_classifications, encode_predict, encode_regressions
from serving.server.front.rest.gzip_body import gunzip
from serving.server.front.rest.rest_routes import POST_ACTIONS, Route, parse_route
from serving.wire import protos

ReadBody = Callable[[], Awaitable[bytes]]


class TooLargeError(Exception):
    """The body exceeds the limit: status 413, for which gRPC has no code."""


async def respond(
    frontend: Frontend,
    method: str,
    path: str,
    read_body: ReadBody,
    *,
    held: Reservation,
    gzipped: bool = False,
    headers: Mapping[str, str] = NO_HEADERS,
) -> tuple[int, bytes]:
    """Handles one request, and counts it. Returns the HTTP status and the JSON body.

    Args:
        frontend: its service runs the request.
        method: of HTTP.
        path: as sent, including the query.
        read_body: returns the body; it may raise `TooLargeError` and `StatusError`.
        held: the request's share of the budget, including the body; the caller releases it.
        gzipped: whether the body is compressed.
        headers: with names in any case.
    """
    start = time.perf_counter()
    route: Route | None = None
    try:
        route = parse_route(method, path)
        key = frontend.authenticate(headers)
        if key is not None:
            key.check_model(route.model_spec.name)
        if route.action in POST_ACTIONS:
            body = await _run(frontend, route, read_body, gzipped, held)
        else:
            body = _describe(frontend, route)
        code, status = Code.OK, Code.OK.http
    except StatusError as error:
        code, status, body = error.code, error.code.http, error_body(error.message)
    except TooLargeError:
        limit = frontend.options.max_message_bytes
        body = error_body(f"Request larger than {limit} bytes (--max_message_bytes)")
        code, status = Code.RESOURCE_EXHAUSTED, 413
    except ConnectionError:  # the client has left
        raise
    except Exception as error:  # noqa: BLE001  `unexpected` logs it
        failure = unexpected(error, f"{method} {path}")
        code, status, body = failure.code, failure.code.http, error_body(failure.message)
    name = route.model_spec.name if route else ""
    api = route.action if route and route.action in POST_ACTIONS else ""
    frontend.metrics.count_request(name, api, "REST", code.name, microseconds_since(start))
    return status, body


async def _run(frontend: Frontend, route: Route, read_body: ReadBody, gzipped: bool, held: Reservation) -> bytes:
    """Predict, classify or regress."""
    body = await read_body()
    loop, timeout = asyncio.get_running_loop(), frontend.options.rest_api_timeout_in_ms / 1000
    deadline = loop.time() + timeout if timeout > 0 else None
    call = frontend.new_call(held, deadline, len(body))
    with frontend.request_slot():
        if gzipped:
            body = await _decompress(body, call)
            call.size = len(body)
        return await _METHODS[route.action](frontend, route.model_spec, body, call)


def _describe(frontend: Frontend, route: Route) -> bytes:
    """A model's status or metadata."""
    service = frontend.service
    if route.action == "metadata":
        request = protos.GetModelMetadataRequest(model_spec=route.model_spec, metadata_field=["signature_def"])
        return _metadata_json(service.get_model_metadata(request))
    status = service.get_model_status(protos.GetModelStatusRequest(model_spec=route.model_spec))
    return _pretty(_to_dict(status))


async def _predict(frontend: Frontend, spec: Any, body: bytes, call: RequestContext) -> bytes:
    inputs_of = in_loop(asyncio.get_running_loop(), partial(frontend.service.inputs_of, spec))
    signature, inputs, in_rows = await call.run(call.size, decode_predict, body, inputs_of, call.limits)
    spec.signature_name = signature
    outputs = (await frontend.service.predict(spec, inputs, (), call)).outputs
    size = output_bytes(outputs)
    if size <= INLINE_BYTES:
        return encode_predict(outputs, in_rows)
    return await call.run(size, _encode_large, outputs, in_rows, call.limits)


def _encode_large(outputs: Arrays, in_rows: bool, limits: Limits, check: Check) -> bytes:
    limits.take(size_of(outputs), 0)
    return encode_predict(outputs, in_rows, check)


async def _classify(frontend: Frontend, spec: Any, body: bytes, call: RequestContext) -> bytes:
    request = await call.run(call.size, _decode_examples, protos.ClassificationRequest, spec, body, call.limits)
    result = (await frontend.service.classify(request, call)).result
    rows = result.classifications
    size = ENCODED_ITEM_BYTES * len(rows) * len(rows[0].classes) if rows else 0
    return await call.run(size, encode_classifications, result)


async def _regress(frontend: Frontend, spec: Any, body: bytes, call: RequestContext) -> bytes:
    request = await call.run(call.size, _decode_examples, protos.RegressionRequest, spec, body, call.limits)
    result = (await frontend.service.regress(request, call)).result
    return await call.run(ENCODED_ITEM_BYTES * len(result.regressions), encode_regressions, result)


def _decode_examples(kind: Any, spec: Any, body: bytes, limits: Limits, check: Check) -> Any:
    request = kind(model_spec=spec)
    fill_examples(body, request, limits, check)
    return request


_METHODS = {"predict": _predict, "classify": _classify, "regress": _regress}


async def _decompress(body: bytes, call: RequestContext) -> bytes:
    """Decompresses a body: a small one here, as most are, a large one in a thread."""
    if len(body) <= INLINE_BYTES:
        unpacked = gunzip(body, min(INLINE_BYTES, call.limits.max_bytes))
        if unpacked is not None:
            return unpacked
    return await call.run(INLINE_BYTES + len(body), _decompress_large, body, call.limits)


def _decompress_large(body: bytes, limits: Limits, check: Check) -> bytes:
    unpacked = gunzip(body, limits.max_bytes, check)
    if unpacked is None:
        raise TooLargeError
    limits.take(len(unpacked), 0)
    return unpacked


def _pretty(values: Any) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _to_dict(message: Any, *, proto_names: bool = False) -> Any:
    return json_format.MessageToDict(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=proto_names,
        descriptor_pool=protos.POOL,
    )


def _metadata_json(response: Any) -> bytes:
    if "signature_def" not in response.metadata:
        message = "Failed to find 'signature_def' key in the GetModelMetadataResponse metadata map."
        raise StatusError(Code.INTERNAL, message)
    signatures = protos.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    metadata = {"signature_def": _to_dict(signatures, proto_names=True)}
    return _pretty({"model_spec": _to_dict(response.model_spec, proto_names=True), "metadata": metadata})
