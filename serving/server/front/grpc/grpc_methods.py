"""The gRPC methods: from the bytes of a request to those of its response, whichever library carries them.

Messages are parsed and serialized here rather than by the transport, so that a malformed message leads to a response
instead of a traceback, and arrays are decoded once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError, invalid_argument, unexpected
from serving.server.api_keys import NO_HEADERS, ApiKey
from serving.server.calls.example_inference import ENCODED_ITEM_BYTES
from serving.server.calls.request_context import RequestContext
from serving.server.calls.request_limits import Limits, Reservation
from serving.server.calls.request_tensors import decode_inputs, encode_outputs, output_bytes, size_of
from serving.server.calls.service_interface import PredictResult
from serving.server.calls.worker_threads import INLINE_BYTES, Check
from serving.server.front.frontend import Frontend, microseconds_since
from serving.server.front.profiling import check_profiler
from serving.server.front.reload_policy import check_reload
from serving.server.options import ServerOptions
from serving.server.protobuf import encode_response, parse
from serving.wire import protos

Handler = Callable[[Frontend, Any, RequestContext], Awaitable[bytes]]
Guard = Callable[[ServerOptions, str, Any], Awaitable[None]]

_RELOAD = "HandleReloadConfigRequest"


async def _predict(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    inputs = await call.run(call.size, decode_inputs, request.inputs, call.limits)
    predicted = await frontend.service.predict(request.model_spec, inputs, request.output_filter, call)
    as_content = frontend.options.enable_serialization_as_tensor_content
    size = output_bytes(predicted.outputs)
    if size > INLINE_BYTES:
        return await call.run(size, _encode_large, predicted, as_content, call.limits)
    response = protos.PredictResponse()
    response.model_spec.CopyFrom(predicted.model_spec)
    encode_outputs(response.outputs, predicted.outputs, as_content)
    return bytes(response.SerializeToString())


def _encode_large(predicted: PredictResult, as_content: bool, limits: Limits, check: Check) -> bytes:
    limits.take(size_of(predicted.outputs), 0)
    return encode_response(predicted.model_spec, predicted.outputs, as_content, check)


async def _classify(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    response = await frontend.service.classify(request, call)
    rows = response.result.classifications
    return await _serialize(response, len(rows) * len(rows[0].classes) if rows else 0, call)


async def _regress(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    response = await frontend.service.regress(request, call)
    return await _serialize(response, len(response.result.regressions), call)


async def _multi_inference(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    response, items = await frontend.service.multi_inference(request, call), 0
    for result in response.results:
        rows = result.classification_result.classifications
        items += len(result.regression_result.regressions) + (len(rows) * len(rows[0].classes) if rows else 0)
    return await _serialize(response, items, call)


async def _serialize(response: Any, items: int, call: RequestContext) -> bytes:
    """The bytes of a response with this many classes or values."""
    return await call.run(items * ENCODED_ITEM_BYTES, lambda check: bytes(response.SerializeToString()))


async def _get_model_metadata(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    return bytes(frontend.service.get_model_metadata(request).SerializeToString())


async def _get_model_status(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    return bytes(frontend.service.get_model_status(request).SerializeToString())


async def _reload(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    return bytes((await frontend.reload(request)).SerializeToString())


async def _profile(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    response = await frontend.profiler.profile(request)
    return await call.run(response.ByteSize(), lambda check: bytes(response.SerializeToString()))


async def _terminate(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    frontend.profiler.terminate(request.session_id)
    return b""


async def _monitor(frontend: Frontend, request: Any, call: RequestContext) -> bytes:
    raise StatusError(Code.UNIMPLEMENTED, "unimplemented.")  # as TensorFlow's service responds on a CPU or GPU


METHODS: dict[str, dict[str, Handler]] = {
    protos.PREDICTION_SERVICE: {
        "Predict": _predict,
        "Classify": _classify,
        "Regress": _regress,
        "MultiInference": _multi_inference,
        "GetModelMetadata": _get_model_metadata,
    },
    protos.MODEL_SERVICE: {"GetModelStatus": _get_model_status, _RELOAD: _reload},
    protos.PROFILER_SERVICE: {"Profile": _profile, "Terminate": _terminate, "Monitor": _monitor},
}
# Methods that only some callers may use.
_GUARDED: dict[str, Guard] = {_RELOAD: check_reload, **dict.fromkeys(METHODS[protos.PROFILER_SERVICE], check_profiler)}
_COUNTED = ("Predict", "Classify", "Regress")  # those that TF Serving counts
_LIMITED = (*_COUNTED, "MultiInference")  # probes and reloads are served under any load


async def handle(
    frontend: Frontend,
    service: str,
    method: str,
    body: bytes,
    deadline: float | None,
    held: Reservation | None = None,
    *,
    peer: str = "",
    headers: Mapping[str, str] = NO_HEADERS,
) -> bytes:
    """Handles one request, and counts it.

    Args:
        service, method: keys of `METHODS`.
        body: a serialized request.
        deadline: a time of the event loop's clock, None for no deadline.
        held: what the request already holds, the bytes of the body included; the caller releases it. None: nothing.
        peer: where the request came from; see `is_local`.
        headers: the metadata by names in lower case; not needed where there are no API keys.

    Returns:
        The serialized response.

    Raises:
        StatusError: the request failed.
    """
    start = time.perf_counter()
    counted, name = method in _COUNTED, ""
    what = f"{service}/{method}"
    own, held = held is None, held or frontend.new_reservation()
    try:
        key = frontend.authenticate(headers)
        if own:
            held.take(len(body))
        call = frontend.new_call(held, deadline, len(body))
        request = await call.run(call.size, parse, protos.methods(service)[method][0], body, call.limits)
        if counted:
            name = request.model_spec.name
        if key is not None:
            _authorize(key, method, request)
        if method in _GUARDED:
            await _GUARDED[method](frontend.options, peer, request)
        with frontend.request_slot() if method in _LIMITED else contextlib.nullcontext():
            encoded = await METHODS[service][method](frontend, request, call)
    except StatusError as error:
        status = error
    except DecodeError:
        status = StatusError(Code.INTERNAL, f"The request is not a {what} message")
    except Exception as error:  # noqa: BLE001  `unexpected` logs it
        status = unexpected(error, what)
    else:
        if counted:
            frontend.metrics.count_request(name, method, "GRPC", "OK", microseconds_since(start))
        return encoded
    finally:
        if own:
            held.release()
    if counted:
        frontend.metrics.count_request(name, method, "GRPC", status.code.name, 0)
    raise status


def _authorize(key: ApiKey, method: str, request: Any) -> None:
    """Raises PERMISSION_DENIED if the key does not cover the request."""
    if method in _GUARDED:
        key.check_administers()
    elif method == "MultiInference":
        for task in request.tasks:
            key.check_model(task.model_spec.name)
    else:
        key.check_model(request.model_spec.name)
