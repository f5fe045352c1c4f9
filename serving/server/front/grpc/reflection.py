"""gRPC's server reflection, v1 and v1alpha (grpc/reflection/v1/reflection.proto), by which grpcurl learns the services.

`grpcio-reflection` is not used: the version in the lock is made for protobuf 7, and the rest of the stack is not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.server.front.grpc_call import GrpcCall, GrpcMethod
from serving.wire.protos.declare import proto_file

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def _file(package: str) -> Any:
    name = package.replace(".", "/") + "/reflection.proto"
    messages = {
        "ServerReflectionRequest": [
            "string host = 1",
            "oneof message_request string file_by_filename = 3",
            "oneof message_request string file_containing_symbol = 4",
            f"oneof message_request .{package}.ExtensionRequest file_containing_extension = 5",
            "oneof message_request string all_extension_numbers_of_type = 6",
            "oneof message_request string list_services = 7",
        ],
        "ExtensionRequest": ["string containing_type = 1", "int32 extension_number = 2"],
        "ServerReflectionResponse": [
            "string valid_host = 1",
            f".{package}.ServerReflectionRequest original_request = 2",
            f"oneof message_response .{package}.FileDescriptorResponse file_descriptor_response = 4",
            f"oneof message_response .{package}.ListServiceResponse list_services_response = 6",
            f"oneof message_response .{package}.ErrorResponse error_response = 7",
        ],
        "FileDescriptorResponse": ["repeated bytes file_descriptor_proto = 1"],
        "ListServiceResponse": [f"repeated .{package}.ServiceResponse service = 1"],
        "ServiceResponse": ["string name = 1"],
        "ErrorResponse": ["int32 error_code = 1", "string error_message = 2"],
    }
    request, response = f"stream .{package}.ServerReflectionRequest", f"stream .{package}.ServerReflectionResponse"
    services = {"ServerReflection": {"ServerReflectionInfo": (request, response)}}
    return proto_file(name, package, messages, services=services)


def messages(package: str) -> tuple[Any, Any]:
    """The classes of the request and of the response."""
    pool, file = descriptor_pool.DescriptorPool(), _file(package)
    pool.Add(file)
    found = message_factory.GetMessageClassesForFiles([file.name], pool)
    return found[f"{package}.ServerReflectionRequest"], found[f"{package}.ServerReflectionResponse"]


def methods(services: Sequence[str], pool: Any, files: Iterable[Any] = ()) -> dict[str, GrpcMethod]:
    """Methods by path that describe `services`.

    Args:
        services: their full names.
        pool: holds their descriptors.
        files: FileDescriptorProtos of those services that `pool` does not know.
    """
    extra = descriptor_pool.DescriptorPool()
    for file in [*files, *map(_file, PACKAGES)]:
        extra.Add(file)
    names = sorted([*services, *(f"{package}.ServerReflection" for package in PACKAGES)])
    pools = (pool, extra)
    return {f"/{package}.ServerReflection/ServerReflectionInfo": _method(package, names, pools) for package in PACKAGES}


def _method(package: str, names: Sequence[str], pools: Sequence[Any]) -> GrpcMethod:
    request_class, response_class = messages(package)

    async def info(bodies: AsyncIterator[bytes], call: GrpcCall) -> AsyncIterator[bytes]:
        async for body in bodies:
            try:
                request = request_class.FromString(body)
            except DecodeError as error:
                message = f"The request is not a {package}.ServerReflectionRequest message"
                raise StatusError(Code.INTERNAL, message) from error
            response = response_class(valid_host=request.host, original_request=request)
            _respond(request, response, names, pools)
            yield response.SerializeToString()

    return GrpcMethod(stream=info)


def _respond(request: Any, response: Any, names: Sequence[str], pools: Sequence[Any]) -> None:
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
    for pool in pools:
        try:
            file = getattr(pool, finders[kind])(getattr(request, kind))
        except KeyError:
            continue
        response.file_descriptor_response.file_descriptor_proto.extend(_with_imports(file))
        return
    response.error_response.error_code = Code.NOT_FOUND.number
    response.error_response.error_message = f"{getattr(request, kind)} is not known"


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
