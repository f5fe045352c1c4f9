"""Small public protos that no installed package has for this protobuf, declared line by line as in their .proto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
}


def proto_file(
    name: str,
    package: str,
    messages: Mapping[str, Sequence[str]],
    *,
    imports: Sequence[str] = (),
    enums: Mapping[str, Sequence[str]] | None = None,
    services: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
) -> Any:
    """The FileDescriptorProto of a proto3 file.

    Args:
        name: of the file, as it is imported.
        package: of all that is declared.
        messages: name to fields: "string path = 2", "repeated int64 sizes = 6", ".pkg.Message part = 1",
            "enum .pkg.Kind kind = 3", "oneof choice string a = 1".
        imports: names of files.
        enums: name to its values, from 0 on.
        services: name to methods, each with its request, its response ("stream" before either where it is).
    """
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3", dependency=imports)
    for enum, values in (enums or {}).items():
        declared = file.enum_type.add(name=enum)
        for number, value in enumerate(values):
            declared.value.add(name=value, number=number)
    for message, fields in messages.items():
        declared = file.message_type.add(name=message)
        for line in fields:
            _add_field(declared, line)
    for service, methods in (services or {}).items():
        declared = file.service.add(name=service)
        for method, (request, response) in methods.items():
            declared.method.add(
                name=method,
                input_type=request.removeprefix("stream "),
                output_type=response.removeprefix("stream "),
                client_streaming=request.startswith("stream "),
                server_streaming=response.startswith("stream "),
            )
    return file


def _add_field(message: Any, line: str) -> None:
    left, number = line.split(" = ")
    *kinds, name = left.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kinds[0] == "oneof":
        names = [one.name for one in message.oneof_decl]
        if kinds[1] not in names:
            message.oneof_decl.add(name=kinds[1])
            names.append(kinds[1])
        field.oneof_index = names.index(kinds[1])
        kinds = kinds[2:]
    if kinds[0] == "repeated":
        field.label = _Field.LABEL_REPEATED
        kinds = kinds[1:]
    if kinds[0] == "enum":
        field.type, field.type_name = _Field.TYPE_ENUM, kinds[1]
    elif kinds[0].startswith("."):
        field.type, field.type_name = _Field.TYPE_MESSAGE, kinds[0]
    else:
        field.type = _SCALARS[kinds[0]]
