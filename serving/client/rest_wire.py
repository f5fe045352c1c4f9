"""Calls as TF Serving's REST requests, and the sync and async connections that carry them.

Source of the format: tensorflow_serving/g3doc/api_rest.md, corrected by
tensorflow_serving/util/json_tensor.cc (the response to Classify and Regress is under "results").
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
from google.protobuf import json_format

from serving.client.endpoint import Target, Tls
from serving.client.errors import ClientError, DeadlineExceeded, InvalidRequest, ServerError, Unavailable, of_http
from serving.client.model_calls import (
    Call,
    GetMetadata,
    GetStatus,
    Infer,
    Predict,
    Reload,
    VersionedOutputs,
    feature_values,
    metadata_of,
    status_of,
)
from serving.errors import Code
from serving.wire.protos import GetModelStatusResponse, ModelSpec, SignatureDefMap
from serving.wire.tensor_codec import as_array, text_bytes

_MAX_MESSAGE = 10_000  # characters


class RestWire:
    """Encodes calls to one target as REST requests, and decodes the responses."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def encode(self, call: Call) -> tuple[str, str, bytes | None]:
        """HTTP method, path and body."""
        if isinstance(call, GetStatus):
            # A label has no status of its own, as in gRPC: the response lists all versions.
            return "GET", replace(self.target, label=None).path, None
        if isinstance(call, GetMetadata):
            return "GET", f"{self.target.path}/metadata", None
        if isinstance(call, Reload):
            raise InvalidRequest(Code.UNIMPLEMENTED, "TF Serving reloads its configuration over gRPC only")
        body: dict[str, Any] = {"signature_name": call.signature} if call.signature else {}
        if isinstance(call, Predict):
            body["inputs"] = {name: _json_values(values, name) for name, values in call.inputs.items()}
            return "POST", f"{self.target.path}:predict", _dump(body)
        target = self.target if call.version is None else replace(self.target, version=call.version, label=None)
        body["examples"] = [{name: _json_feature(name, value) for name, value in one.items()} for one in call.examples]
        return "POST", f"{target.path}:{call.method}", _dump(body)

    def decode(self, call: Call, status: int, body: bytes) -> Any:
        """The call's result; see the calls in `serving.client.model_calls`.

        Raises:
            ClientError: the response is an error, or not one of TF Serving's.
        """
        if status != 200:
            raise of_http(status, _message(status, body))
        try:
            return self._decode(call, json.loads(body))
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError, json_format.ParseError) as error:
            reason = f"{type(error).__name__}: {error}"
            message = f"not a response of TF Serving ({reason}): {body[:200]!r}"
            raise ServerError(Code.INTERNAL, message) from None

    def _decode(self, call: Call, answer: Any) -> Any:
        if isinstance(call, GetStatus):
            return status_of(json_format.ParseDict(answer, GetModelStatusResponse(), ignore_unknown_fields=True))
        if isinstance(call, GetMetadata):
            # Not the response as a whole: TF Serving leaves out the type of the map.
            signatures = answer["metadata"]["signature_def"]
            return metadata_of(
                json_format.ParseDict(answer["model_spec"], ModelSpec(), ignore_unknown_fields=True),
                json_format.ParseDict(signatures, SignatureDefMap(), ignore_unknown_fields=True),
            )
        if isinstance(call, Predict):
            outputs = answer["outputs"]
            named = outputs if isinstance(outputs, dict) and set(outputs) != {"b64"} else {"": outputs}
            return VersionedOutputs({name: _array(values) for name, values in named.items()})
        if isinstance(call, Infer) and call.method == "regress":
            return [float(value) for value in answer["results"]]
        return [[(str(label), float(score)) for label, score in row] for row in answer["results"]]


class RestConnection:
    """Sends calls and waits for their responses. Thread-safe."""

    def __init__(self, target: Target, tls: Tls | None, headers: Mapping[str, str], max_answer_bytes: int) -> None:
        self.wire, self._max_answer_bytes = RestWire(target), max_answer_bytes
        self._client = httpx.Client(**_options(target, tls, headers))

    def send(self, call: Call, timeout: float | None) -> Any:
        """The call's result within `timeout` seconds.

        Raises:
            ClientError: the server's error, or it could not be reached.
        """
        method, path, content = self.wire.encode(call)
        end = None if timeout is None else time.monotonic() + timeout
        received = bytearray()
        try:
            with self._client.stream(method, path, content=content, timeout=timeout) as response:
                for chunk in response.iter_bytes():
                    _add(received, chunk, self._max_answer_bytes)
                    # httpx restarts `timeout` for each chunk
                    if end is not None and time.monotonic() > end:
                        raise httpx.ReadTimeout("the response came too slowly")
        except httpx.RequestError as error:
            raise _explained(error) from error
        return self.wire.decode(call, response.status_code, bytes(received))

    def close(self) -> None:
        self._client.close()


class AsyncRestConnection:
    """`RestConnection` for asyncio."""

    def __init__(self, target: Target, tls: Tls | None, headers: Mapping[str, str], max_answer_bytes: int) -> None:
        self.wire, self._max_answer_bytes = RestWire(target), max_answer_bytes
        self._client = httpx.AsyncClient(**_options(target, tls, headers))

    async def send(self, call: Call, timeout: float | None) -> Any:
        """See `RestConnection.send`."""
        method, path, content = self.wire.encode(call)
        received = bytearray()
        try:
            async with (
                asyncio.timeout(timeout),
                self._client.stream(method, path, content=content, timeout=None) as response,
            ):
                async for chunk in response.aiter_bytes():
                    _add(received, chunk, self._max_answer_bytes)
        except TimeoutError:
            raise _explained(httpx.ReadTimeout("no response in time")) from None
        except httpx.RequestError as error:
            raise _explained(error) from error
        return self.wire.decode(call, response.status_code, bytes(received))

    async def close(self) -> None:
        await self._client.aclose()


def _add(received: bytearray, chunk: bytes, most: int) -> None:
    """Adds a decompressed chunk to a response.

    Raises:
        ServerError: the response is too large.
    """
    if len(received) + len(chunk) > most:
        raise ServerError(Code.RESOURCE_EXHAUSTED, f"the response is larger than {most} bytes; see max_answer_bytes")
    received += chunk


def _options(target: Target, tls: Tls | None, headers: Mapping[str, str]) -> dict[str, Any]:
    scheme = "https" if target.secure else "http"
    options: dict[str, Any] = {
        "base_url": f"{scheme}://{target.address}",
        "headers": {"content-type": "application/json", **headers},
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=32),
        "trust_env": False,  # the client ignores the environment
    }
    if target.secure and tls is not None:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
        if tls.cert is not None and tls.key is not None:
            context.load_cert_chain(str(tls.cert), str(tls.key))
        options["verify"] = context
    return options


def _explained(error: httpx.RequestError) -> ClientError:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
    if not isinstance(error, httpx.TransportError):  # an invalid encoding
        return ServerError(Code.INTERNAL, reason)
    explained = Unavailable(Code.UNAVAILABLE, reason)
    # A connection that breaks later may have been processed; a wrong certificate or name stays wrong.
    hopeless = any(isinstance(cause, (ssl.SSLError, socket.gaierror)) for cause in _causes(error))
    explained.retry = isinstance(error, httpx.ConnectError) and not hopeless
    return explained


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _message(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])[:_MAX_MESSAGE]
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"HTTP {status}: {body[:200].decode('utf-8', errors='replace')}"


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _json_values(values: Any, name: str) -> Any:
    """(Nested) lists for JSON; bytes that are not text become {"b64": ...}."""
    array = as_array(values, name)
    if array.dtype != object:
        return array.tolist()
    flat = np.empty(array.size, dtype=object)
    flat[:] = [_json_string(value) for value in array.ravel().tolist()]
    return flat.reshape(array.shape).tolist()


def _json_feature(name: str, value: Any) -> list[Any]:
    items = [text_bytes(item) if isinstance(item, str) else item for item in feature_values(name, value)]
    return [_json_string(item) if isinstance(item, bytes) else item for item in items]


def _json_string(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def _array(values: Any) -> np.ndarray:
    """The array of a JSON value; strings as `bytes` in an object array."""
    shape: list[int] = []
    level = values
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    if not isinstance(level, (str, dict)):
        array = np.asarray(values)
        if array.dtype == object:
            raise ValueError(f"values that are not numbers, such as {str(level)[:100]}")
        return array
    flat = [values]
    for _ in shape:
        flat = [item for part in flat for item in part]
    array = np.empty(len(flat), dtype=object)
    array[:] = [_string(item) for item in flat]
    return array.reshape(shape)


def _string(item: Any) -> bytes:
    if isinstance(item, dict):
        return base64.b64decode(item["b64"])
    if not isinstance(item, str):
        raise ValueError(f"{str(item)[:100]} among strings")
    return text_bytes(item)
