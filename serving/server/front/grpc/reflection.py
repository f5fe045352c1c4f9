"""gRPC's server reflection, v1 and v1alpha (grpc/reflection/v1/reflection.proto), which grpcurl uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.server.front.grpc_call import GrpcCall, GrpcMethod
from serving.wire import protos

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def messages(package: str) -> tuple[Any, Any]:
    """The classes of the request and of the response."""
    return protos.methods(f"{package}.ServerReflection")["ServerReflectionInfo"]


def methods(services: Sequence[str]) -> dict[str, GrpcMethod]:
    """Methods by path that describe `services`, given by their full names."""
    names = sorted([*services, *(f"{package}.ServerReflection" for package in PACKAGES)])
    return {f"/{package}.ServerReflection/ServerReflectionInfo": _method(package, names) for package in PACKAGES}


def _method(package: str, names: Sequence[str]) -> GrpcMethod:
    request_class, response_class = messages(package)

    async def info(bodies: AsyncIterator[bytes], call: GrpcCall) -> AsyncIterator[bytes]:
        async for body in bodies:
            try:
                request = request_class.FromString(body)
            except DecodeError as error:
                message = f"The request is not a {package}.ServerReflectionRequest message"
                raise StatusError(Code.INTERNAL, message) from error
            response = response_class(valid_host=request.host, original_request=request)
            _respond(request, response, names)
            yield response.SerializeToString()

    return GrpcMethod(stream=info)


def _respond(request: Any, response: Any, names: Sequence[str]) -> None:
    kind = request.WhichOneof("message_request")
    if kind == "list_services":
        for name in names:
            response.list_services_response.service.add(name=name)
        return
    finders = {"file_by_filename": "FindFileByName", "file_containing_symbol": "FindFileContainingSymbol"}
    if kind not in finders:  # proto3 has no extensions
        response.error_response.error_code = Code.UNIMPLEMENTED.number
        response.error_response.error_message = "there are no extensions"
        return
    try:
        file = getattr(protos.POOL, finders[kind])(getattr(request, kind))
    except KeyError:
        response.error_response.error_code = Code.NOT_FOUND.number
        response.error_response.error_message = f"{getattr(request, kind)} is not known"
        return
    response.file_descriptor_response.file_descriptor_proto.extend(_with_imports(file))


def _with_imports(file: Any) -> list[bytes]:
    """The file and all that it imports, serialized."""
    files: dict[str, bytes] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            proto = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(proto)
            files[file.name] = proto.SerializeToString()
            for needed in file.dependencies:
                add(needed)

    add(file)
    return list(files.values())
