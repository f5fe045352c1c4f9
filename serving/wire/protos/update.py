"""Takes the descriptors out of the installed `tensorflow-serving-api` (which loads TensorFlow): development only."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pb2

from serving.wire import protos

# The files whose messages are used; what they import comes along.
_ROOTS = (
    "tensorflow_serving.apis.prediction_service_pb2",
    "tensorflow_serving.apis.model_service_pb2",
    "tensorflow_serving.apis.prediction_log_pb2",
)


def descriptors() -> bytes:
    """The serialized FileDescriptorSet, imports before importers."""
    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            for needed in file.dependencies:
                add(needed)
            files[file.name] = file

    for root in _ROOTS:
        add(import_module(root).DESCRIPTOR)
    collected = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        collected.file.add().ParseFromString(file.serialized_pb)
    return bytes(collected.SerializeToString(deterministic=True))


if __name__ == "__main__":
    protos.FILE.write_bytes(descriptors())
