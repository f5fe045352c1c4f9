"""Signatures that older converters stored as metadata of a `.tflite` file.

Source: tensorflow/lite/tools/signature/signature_def_util.cc, and `TfLiteSession::Create` in
tensorflow_serving/servables/tensorflow/tflite_session.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any

from flatbuffers import flexbuffers
from google.protobuf.message import DecodeError
from tensorflow.lite.python import schema_py_generated as schema

from serving.errors import Code, StatusError, invalid_argument
from serving.wire.protos import SignatureDef

_METADATA = b"signature_defs_metadata"


def signatures_in_metadata(content: bytes) -> Mapping[str, Any]:
    """`SignatureDef` messages by name; empty without such metadata.

    Raises:
        StatusError: INVALID_ARGUMENT, the metadata is invalid.
    """
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _METADATA:
            try:
                found = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
                return _read(found)
            except (AttributeError, DecodeError, LookupError, TypeError, ValueError, struct.error) as error:
                words = f"Invalid SignatureDefs found in TfLite model: {error}"
                raise invalid_argument(words) from error
    return {}


def with_names_in(definition: Any, inputs: Collection[str], outputs: Collection[str]) -> Any:
    """The `SignatureDef` with its tensors' names in the file, where older converters left out `:0`.

    Raises:
        StatusError: INTERNAL, a tensor is not in the file.
    """
    fixed = SignatureDef()
    fixed.CopyFrom(definition)
    for kind, infos, names in (("input", fixed.inputs, inputs), ("output", fixed.outputs, outputs)):
        for alias, info in infos.items():
            bare = info.name.split(":")[0]
            if info.name not in names and bare not in names:
                words = f"Signature {kind} {alias} references an unknown tensor: Unknown tensor '{bare}'."
                raise StatusError(Code.INTERNAL, words)
            info.name = info.name if info.name in names else bare
    return fixed


def _read(content: bytes) -> Mapping[str, Any]:
    entries = flexbuffers.GetRoot(bytearray(content)).AsMap
    return {
        key.AsKey: SignatureDef.FromString(value.AsStringBytes)
        for key, value in zip(entries.Keys, entries.Values, strict=True)
    }
