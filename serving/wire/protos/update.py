"""Writes `descriptors.binpb`; for development only: it loads TensorFlow and needs a package registry.

    python -m serving.wire.protos.update

Most descriptors come from the installed `tensorflow-serving-api` and TensorFlow. For the services and configuration
files that these packages leave out, `sources/` declares what Transom uses under the public names and field numbers;
`protoc` compiles it. `protoc` comes with `grpcio-tools`, which needs a newer protobuf than the project, so uv runs it
in an environment of its own.
"""

from __future__ import annotations

import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from serving.wire import protos

SOURCES = Path(__file__).with_name("sources")

_ROOTS = (
    "tensorflow_serving.apis.prediction_service_pb2",
    "tensorflow_serving.apis.model_service_pb2",
    "tensorflow_serving.apis.prediction_log_pb2",
    "tensorflow.tsl.profiler.protobuf.profiler_options_pb2",
)
"""Modules whose messages are used; their imports are added."""

_PROTOC = "uv run --quiet --no-project --with grpcio-tools python -m grpc_tools.protoc"


def installed() -> bytes:
    """The serialized FileDescriptorSet of the installed packages, imports before importers."""
    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            for dependency in file.dependencies:
                add(dependency)
            files[file.name] = file

    for root in _ROOTS:
        add(import_module(root).DESCRIPTOR)
    collected = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        collected.file.add().ParseFromString(file.serialized_pb)
    return bytes(collected.SerializeToString(deterministic=True))


def compiled(imports: bytes) -> bytes:
    """The serialized FileDescriptorSet of `sources/`, which may import the files in `imports`."""
    names = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        known, output = Path(folder, "imports.binpb"), Path(folder, "output.binpb")
        known.write_bytes(imports)
        files = (f"--descriptor_set_in={known}", f"--descriptor_set_out={output}", f"--proto_path={SOURCES}")
        subprocess.run([*_PROTOC.split(), *files, *names], check=True)
        return output.read_bytes()


if __name__ == "__main__":
    from_packages = installed()
    protos.FILE.write_bytes(from_packages + compiled(from_packages))  # protobuf merges what is concatenated
