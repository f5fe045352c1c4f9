"""TFLite metadata, with which MediaPipe's TextClassifier turns a string into labels.

The tables and their field numbers are those of MediaPipe's `metadata_schema.fbs`
(https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs). MediaPipe's own
writer needs MediaPipe and cannot write a BERT classifier of version 1.2; a text classifier needs only a few tables.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.errors import ModelError
from models.label_names import is_one_line
from tflite.convert import flatbuffer
from tflite.host.manifest import Manifest

VOCABULARY_FILE, LABELS_FILE = "vocab.txt", "labels.txt"
_METADATA_NAME, _IDENTIFIER = b"TFLITE_METADATA", b"M001"
# MediaPipe's names for the inputs of a BERT classifier.
_INPUT_NAMES = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segment_ids"}
_DESCRIPTIONS = {
    "ids": "Token ids, the special ones included.",
    "mask": "1 for a token, 0 for padding.",
    "segment_ids": "0 for the first text, 1 for the second.",
}
_AXIS_LABELS, _VOCABULARY = 2, 5  # AssociatedFileType
_FEATURE_PROPERTIES = 1  # ContentProperties
_BERT_TOKENIZER = 4  # ProcessUnitOptions
_MIN_PARSER_VERSION = "1.2.0"
_MAX_VOCABULARY = 2**22
# Zip's first date, so that equal files give equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class FileDescription:
    """The description of a model for people, written to the metadata and the README."""

    name: str
    description: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""


def add_metadata(
    content: bytes, manifest: Manifest, about: FileDescription, vocabulary: str, labels: Sequence[str]
) -> bytes:
    """Adds metadata to the file, and `vocab.txt` and `labels.txt` in an archive at its end.

    The graph of the longest signature becomes the first, which is the one that MediaPipe runs.

    Args:
        content: a .tflite file without metadata.
        manifest: its signatures.
        about: name, version and so on.
        vocabulary: the content of `vocab.txt`, a token per line; empty if it is not WordPiece, for which there is no
            process unit.
        labels: in the order of the outputs; empty for a regression.

    Raises:
        ModelError: the vocabulary is too long, or a label is not exactly one line.
    """
    _check(vocabulary, labels)
    model = flatbuffer.read(content)
    _longest_first(model, manifest)
    files = {VOCABULARY_FILE: vocabulary, LABELS_FILE: "".join(f"{label}\n" for label in labels)}
    kept = {name: text for name, text in files.items() if text}
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_metadata(_inputs(model, manifest), manifest, about, kept), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _METADATA_NAME, len(model.buffers) - 1
    model.metadata = [each for each in model.metadata or [] if each.name != _METADATA_NAME] + [entry]
    archive = io.BytesIO(flatbuffer.write(model))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as target:
        for name, text in kept.items():
            target.writestr(zipfile.ZipInfo(name, _DATE), text.encode("utf-8"))
    return archive.getvalue()


def associated_files(content: bytes) -> Mapping[str, bytes]:
    """The files in the archive at the end of a .tflite file; empty if there is no archive."""
    source = io.BytesIO(content)
    if not zipfile.is_zipfile(source):
        return {}
    with zipfile.ZipFile(source) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _check(vocabulary: str, labels: Sequence[str]) -> None:
    if vocabulary.count("\n") > _MAX_VOCABULARY:
        raise ModelError(
            "the vocabulary is too long for a .tflite file's metadata",
            got=f"{vocabulary.count(chr(10)):,} tokens",
            expected=f"at most {_MAX_VOCABULARY:,}",
        )
    broken = next((label for label in labels if not is_one_line(label)), None)
    if broken is not None:
        raise ModelError(
            f"label {broken!r} cannot be written to {LABELS_FILE}",
            got="an empty label, or one of several lines",
            expected="labels of one line",
            fix="rename the label in the data",
        )


def _longest(model: Any, manifest: Manifest) -> Any:
    """The signature for the longest rows, `schema.SignatureDefT`."""
    name = manifest.signature(max(manifest.lengths)).encode()
    return next(each for each in model.signatureDefs if each.signatureKey == name)


def _longest_first(model: Any, manifest: Manifest) -> None:
    """Moves the graph of the longest signature to the front."""
    first = _longest(model, manifest).subgraphIndex
    order = [first, *(index for index in range(len(model.subgraphs)) if index != first)]
    model.subgraphs = [model.subgraphs[index] for index in order]
    for each in model.signatureDefs:
        each.subgraphIndex = order.index(each.subgraphIndex)


def _inputs(model: Any, manifest: Manifest) -> list[str]:
    """The names of the first graph's inputs, in the graph's order."""
    by_tensor = {each.tensorIndex: each.name.decode() for each in _longest(model, manifest).inputs}
    return [by_tensor[index] for index in model.subgraphs[0].inputs]


class _Writer:
    """Writes tables of the metadata schema, by field number."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(self, fields: Mapping[int, int], small: Mapping[int, int] | None = None) -> int:
        """A table with offsets and one-byte numbers, by field number."""
        numbers = small or {}
        self.builder.StartObject(max([*fields, *numbers], default=-1) + 1)
        for slot, offset in fields.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in numbers.items():
            self.builder.PrependUint8Slot(slot, value, 0)
        return int(self.builder.EndObject())

    def texts(self, fields: Mapping[int, str]) -> dict[int, int]:
        return {slot: self.text(value) for slot, value in fields.items() if value}


def _metadata(inputs: Sequence[str], manifest: Manifest, about: FileDescription, files: Mapping[str, str]) -> bytes:
    writer = _Writer()

    def file(name: str, description: str, kind: int) -> int:
        return writer.table(writer.texts({0: name, 1: description}), {2: kind})

    def tensor(name: str, description: str, associated: Callable[[], list[int]] = list) -> int:
        content = writer.table({1: writer.table({})}, {0: _FEATURE_PROPERTIES})
        fields = writer.texts({0: name, 1: description}) | {3: content}
        attached = associated()
        return writer.table(fields | ({6: writer.vector(attached)} if attached else {}))

    given = [tensor(_INPUT_NAMES[name], _DESCRIPTIONS[_INPUT_NAMES[name]]) for name in inputs]
    output = tensor(
        manifest.output,
        "The number." if manifest.task == "regression" else "The probability of each label.",
        lambda: [file(LABELS_FILE, "The labels.", _AXIS_LABELS)] if LABELS_FILE in files else [],
    )
    graph = {2: writer.vector(given), 3: writer.vector([output])}
    if VOCABULARY_FILE in files:
        vocabulary = writer.vector([file(VOCABULARY_FILE, "The vocabulary, a token a line.", _VOCABULARY)])
        unit = writer.table({1: writer.table({0: vocabulary})}, {0: _BERT_TOKENIZER})
        graph[5] = writer.vector([unit])
    graphs = writer.vector([writer.table(graph)])
    fields = {
        0: about.name,
        1: about.description,
        2: about.version,
        4: about.author,
        5: about.licence,
        7: _MIN_PARSER_VERSION,
    }
    writer.builder.Finish(writer.table(writer.texts(fields) | {3: graphs}), _IDENTIFIER)
    return bytes(writer.builder.Output())
