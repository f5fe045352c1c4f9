"""Calls as gRPC messages, and the sync and async channels that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving.client.endpoint import Target, Tls
from serving.client.errors import ClientError, InvalidRequest, ServerError, of_number
from serving.client.model_calls import (
    Call,
    Example,
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
from serving.wire.protos import MODEL_SERVICE, PREDICTION_SERVICE, SignatureDefMap, methods
from serving.wire.protos import Example as ExampleProto
from serving.wire.tensor_codec import MAX_FILLED_BYTES, from_proto, text_bytes, to_proto

_METHODS = {
    name: (f"/{service}/{name}", *kinds)
    for service in (PREDICTION_SERVICE, MODEL_SERVICE)
    for name, kinds in methods(service).items()
}
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),  # `serving.client.flows` does the retries
    ("grpc.lb_policy_name", "round_robin"),  # take the addresses behind a name in turn
    ("grpc.enable_http_proxy", 0),  # the client ignores the environment
    # The channel refuses calls while it waits to reconnect; by default that grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_TOO_LARGE, _THIS_SIDE = "larger than max", "CLIENT:"


class GrpcWire:
    """Encodes calls to one target as gRPC messages, and decodes the responses."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def encode(self, call: Call) -> tuple[str, Any]:
        """Name of the method, and the request message."""
        fields: dict[str, Any] = {}
        if isinstance(call, Reload):
            name, fields = "HandleReloadConfigRequest", {"config": call.config}
        elif isinstance(call, Predict):
            name, fields = "Predict", {"inputs": {name: to_proto(values, name) for name, values in call.inputs.items()}}
        elif isinstance(call, GetStatus):
            name = "GetModelStatus"
        elif isinstance(call, GetMetadata):
            name, fields = "GetModelMetadata", {"metadata_field": ["signature_def"]}
        else:
            name = call.method.capitalize()
        request = _METHODS[name][1](**fields)
        if isinstance(call, Infer):
            request.input.example_list.examples.extend(_example(one) for one in call.examples)
        if not isinstance(call, Reload):
            version = call.version if isinstance(call, Infer) else None
            self._fill_spec(request.model_spec, version, getattr(call, "signature", ""))
        return name, request

    def decode(self, call: Call, response: Any) -> Any:
        """The call's result; see the calls in `serving.client.model_calls`.

        Raises:
            ServerError: the response is invalid.
        """
        if isinstance(call, Predict):
            return VersionedOutputs(_arrays(response.outputs), response.model_spec.version.value)
        if isinstance(call, GetStatus):
            return status_of(response)
        if isinstance(call, GetMetadata):
            signatures = SignatureDefMap()
            try:
                response.metadata["signature_def"].Unpack(signatures)
            except DecodeError as error:
                raise ServerError(Code.INTERNAL, f"the server's metadata are not signatures: {error}") from None
            return metadata_of(response.model_spec, signatures)
        if isinstance(call, Reload):
            if response.status.error_code:
                raise of_number(response.status.error_code, response.status.error_message)
            return None
        if call.method == "regress":
            return [one.value for one in response.result.regressions]
        return [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]

    def _fill_spec(self, spec: Any, version: int | None, signature: str) -> None:
        spec.name = self.target.model
        if version is None:
            version = self.target.version
        if version is not None:
            spec.version.value = version
        elif self.target.label is not None:
            spec.version_label = self.target.label
        if signature:
            spec.signature_name = signature


class _Channel:
    """What both channels share: the connection and a function for each method."""

    _grpc: Any = grpc

    def __init__(self, target: Target, tls: Tls | None, headers: Mapping[str, str], max_answer_bytes: int) -> None:
        self.wire = GrpcWire(target)
        self._metadata = tuple(headers.items())
        options = [*_OPTIONS, ("grpc.max_receive_message_length", max_answer_bytes)]
        if target.secure:
            pem = tls or Tls()
            credentials = grpc.ssl_channel_credentials(pem.read("ca"), pem.read("key"), pem.read("cert"))
            self._channel = self._grpc.secure_channel(target.address, credentials, options=options)
        else:
            self._channel = self._grpc.insecure_channel(target.address, options=options)
        self._methods = {
            name: self._channel.unary_unary(
                path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
            )
            for name, (path, request, response) in _METHODS.items()
        }


class GrpcChannel(_Channel):
    """Sends calls and waits for their responses. Thread-safe."""

    def send(self, call: Call, timeout: float | None) -> Any:
        """The call's result within `timeout` seconds.

        Raises:
            ClientError: the server's error, or it could not be reached.
        """
        name, request = self.wire.encode(call)
        try:
            response = self._methods[name](request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _explained(error) from None
        return self.wire.decode(call, response)

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcChannel(_Channel):
    """`GrpcChannel` for asyncio."""

    _grpc = grpc.aio

    async def send(self, call: Call, timeout: float | None) -> Any:
        """See `GrpcChannel.send`."""
        name, request = self.wire.encode(call)
        try:
            response = await self._methods[name](request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _explained(error) from None
        return self.wire.decode(call, response)

    async def close(self) -> None:
        await self._channel.close()


def _arrays(outputs: Mapping[str, Any]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    bytes_left = MAX_FILLED_BYTES
    try:
        for name, proto in sorted(outputs.items()):
            arrays[name] = from_proto(proto, bytes_left)
            bytes_left -= max(0, arrays[name].nbytes - proto.ByteSize())
    except ValueError as error:
        raise ServerError(Code.INTERNAL, str(error)) from None
    return arrays


def _explained(error: Any) -> ClientError:
    details = error.details() or ""
    if _TOO_LARGE in details:  # gRPC uses this for a large response here and for a large request there
        if _THIS_SIDE in details:
            return ServerError(Code.RESOURCE_EXHAUSTED, f"the response is too large; see max_answer_bytes: {details}")
        return InvalidRequest(Code.RESOURCE_EXHAUSTED, f"the request is too large for the server: {details}")
    return of_number(error.code().value[0], details)


def _example(features: Example) -> Any:
    """The `tf.Example`, with each feature in the list of its type."""
    example = ExampleProto()
    for name, value in features.items():
        feature, items = example.features.feature[name], feature_values(name, value)
        if all(isinstance(item, (str, bytes)) for item in items):
            feature.bytes_list.value.extend(text_bytes(item) if isinstance(item, str) else item for item in items)
        elif all(isinstance(item, int) for item in items):
            feature.int64_list.value.extend(items)
        else:
            feature.float_list.value.extend(items)
    return example
