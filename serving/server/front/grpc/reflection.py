"""gRPC's server reflection, v1 and v1alpha (grpc/reflection/v1/reflection.proto), which grpcurl uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.server.front.grpc_handlers import Call, Method
from serving.wire import protos

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def messages(package: str) -> tuple[Any, Any]:
    """The classes of the request and of the response."""
    return protos.methods(f"{package}.ServerReflection")["ServerReflectionInfo"]


def methods(services: Sequence[str]) -> dict[str, Method]:
    """Methods by path that describe `services`, given by their full names."""
    names = sorted([*services, *(f"{package}.ServerReflection" for package in PACKAGES)])
    return {f"/{package}.ServerReflection/ServerReflectionInfo": _method(package, names) for package in PACKAGES}


def _method(package: str, names: Sequence[str]) -> Method:
    request_class, response_class = messages(package)

    async def info(bodies: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        async for body in bodies:
            try:
                request = request_class.FromString(body)
            except DecodeError as error:
                message = f"The request is no {package}.ServerReflectionRequest message"
                raise StatusError(Code.INTERNAL, message) from error
            response = response_class(valid_host=request.host, original_request=request)
            _answer(request, response, names)
            yield response.SerializeToString()

    return Method(stream=info)


def _answer(request: Any, response: Any, names: Sequence[str]) -> None:
    asked = request.WhichOneof("message_request")
    if asked == "list_services":
        for name in names:
            response.list_services_response.service.add(name=name)
        return
    finders = {"file_by_filename": "FindFileByName", "file_containing_symbol": "FindFileContainingSymbol"}
    if asked not in finders:  # proto3 has no extensions
        response.error_response.error_code = Code.UNIMPLEMENTED.number
        response.error_response.error_message = "there are no extensions"
        return
    try:
        file = getattr(protos.POOL, finders[asked])(getattr(request, asked))
    except KeyError:
        response.error_response.error_code = Code.NOT_FOUND.number
        response.error_response.error_message = f"{getattr(request, asked)} is not known"
        return
    response.file_descriptor_response.file_descriptor_proto.extend(_with_imports(file))


def _with_imports(file: Any) -> list[bytes]:
    """The file and all that it imports, serialized."""
    found: dict[str, bytes] = {}

    def add(one: Any) -> None:
        if one.name not in found:
            proto = descriptor_pb2.FileDescriptorProto()
            one.CopyToProto(proto)
            found[one.name] = proto.SerializeToString()
            for needed in one.dependencies:
                add(needed)

    add(file)
    return list(found.values())
