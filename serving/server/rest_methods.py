"""What each REST call does: the body of a request to that of its answer, whatever carries them.

Source: tensorflow_serving/model_servers/http_rest_api_handler.cc. Every answer is JSON, an error as `{"error": "..."}`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from google.protobuf import json_format

from serving import protos
from serving.errors import Code, StatusError
from serving.server.api_keys import NO_HEADERS
from serving.server.budget import Held, Limits
from serving.server.call import Call
from serving.server.frontend import Frontend, since
from serving.server.json_answers import encode_classifications, encode_predict, encode_regressions
from serving.server.json_examples import fill_examples
from serving.server.json_tensor import decode_predict
from serving.server.rest_routes import ASKED, Route, route
from serving.server.unexpected import unexpected
from serving.server.unpacking import gunzipped
from serving.server.work import Check, in_loop

_GRACE_SECONDS = 1.0
_GZIPPED_BYTES = 2**20  # what a small compressed body may be, as far as is known

Read = Callable[[], Awaitable[bytes]]


class TooLargeError(Exception):
    """The body is larger than it may be: 413, for which the protocol has no code."""


@dataclass(frozen=True)
class Answer:
    """An HTTP status, and JSON."""

    status: int
    body: bytes


async def answer(
    frontend: Frontend,
    method: str,
    path: str,
    read: Read,
    *,
    gzipped: bool = False,
    held: Held | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Answer:
    """Answers one request, and counts it.

    Args:
        frontend: what answers.
        method: of HTTP.
        path: as it was sent, its query included.
        read: gives the body; it may raise `TooLargeError` and `StatusError`.
        gzipped: whether the body is compressed.
        held: what the request holds already, the bytes of the body included; the caller releases it. None: nothing.
        headers: by names in any case.
    """
    start = time.perf_counter()
    found: Route | None = None
    try:
        found = route(method, path)
        key = frontend.authenticate(headers)
        if key is not None:
            key.check_model(found.model_spec.name)
        if found.action in ASKED:
            body = await _ask(frontend, found, read, gzipped, held)
        else:
            body = _look(frontend, found)
        code, status = Code.OK, Code.OK.http
    except StatusError as error:
        code, status, body = error.code, error.code.http, error_body(error.message)
    except TooLargeError:
        limit = frontend.options.max_message_bytes
        body = error_body(f"Request larger than {limit} bytes (--max_message_bytes)")
        code, status = Code.RESOURCE_EXHAUSTED, 413
    except ConnectionError:  # the client has gone
        raise
    except Exception as error:  # noqa: BLE001  `unexpected` logs it
        failure = unexpected(error, f"{method} {path}")
        code, status, body = failure.code, failure.code.http, error_body(failure.message)
    name = found.model_spec.name if found else ""
    api = found.action if found and found.action in ASKED else ""
    frontend.metrics.request(name, api, "REST", code.name, since(start))
    return Answer(status, body)


async def _ask(frontend: Frontend, found: Route, read: Read, gzipped: bool, held: Held | None) -> bytes:
    """Predict, classify or regress."""
    body = await read()
    loop, timeout = asyncio.get_running_loop(), frontend.options.rest_api_timeout_in_ms / 1000
    deadline = loop.time() + timeout if timeout > 0 else None
    own, held = held is None, held or frontend.held()
    try:
        if own:
            held.take(len(body))
        call = frontend.call(held, deadline, len(body))
        # The service keeps the deadline; this holds should it not.
        async with asyncio.timeout_at(None if deadline is None else deadline + _GRACE_SECONDS):
            with frontend.entered():
                if gzipped:
                    body = await call.run(_GZIPPED_BYTES, _gunzipped, body, call.limits)
                    call.size = len(body)
                return await _ANSWERS[found.action](frontend, found.model_spec, body, call)
    except TimeoutError as error:
        raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification") from error
    finally:
        if own:
            held.release()


def _look(frontend: Frontend, found: Route) -> bytes:
    service = frontend.service
    if found.action == "metadata":
        request = protos.GetModelMetadataRequest(model_spec=found.model_spec, metadata_field=["signature_def"])
        return _metadata_json(service.get_model_metadata(request))
    status = service.get_model_status(protos.GetModelStatusRequest(model_spec=found.model_spec))
    return _pretty(_values(status))


async def _predict(frontend: Frontend, spec: Any, body: bytes, call: Call) -> bytes:
    inputs_of = in_loop(asyncio.get_running_loop(), partial(frontend.service.inputs_of, spec))
    signature, inputs, in_rows = await call.run(call.size, decode_predict, body, inputs_of, call.limits)
    spec.signature_name = signature
    predicted = await frontend.service.predict(spec, inputs, (), call)
    return encode_predict(predicted.outputs, in_rows)


async def _classify(frontend: Frontend, spec: Any, body: bytes, call: Call) -> bytes:
    request = protos.ClassificationRequest(model_spec=spec)
    await call.run(call.size, fill_examples, body, request, call.limits)
    return encode_classifications((await frontend.service.classify(request, call)).result)


async def _regress(frontend: Frontend, spec: Any, body: bytes, call: Call) -> bytes:
    request = protos.RegressionRequest(model_spec=spec)
    await call.run(call.size, fill_examples, body, request, call.limits)
    return encode_regressions((await frontend.service.regress(request, call)).result)


_ANSWERS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _gunzipped(body: bytes, limits: Limits, check: Check) -> bytes:
    unpacked = gunzipped(body, limits.max_bytes, check)
    if unpacked is None:
        raise TooLargeError
    return unpacked


def error_body(message: str) -> bytes:
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
