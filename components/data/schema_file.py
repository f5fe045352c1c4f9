"""A curated schema as a file, and what the task decides of every schema. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.config import TaskConfig
from models.errors import ConfigError


def read_curated(path: Path, task: TaskConfig) -> Any:
    """A schema that a user wrote, with the shapes that the task decides.

    Raises:
        ConfigError: the file cannot be read, or a task's column is missing or of another type.
    """
    schema = schema_pb2.Schema()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), schema)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(
            f"data.schema_path: {path} cannot be read",
            got=str(error).split("\n")[0],
            expected="a TFDV schema as text protobuf",
            fix="start from the schema that a run without data.schema_path infers",
        ) from None
    features = {feature.name: feature for feature in schema.feature}
    for name, kind in own_columns(task).items():
        got = features.get(name)
        if got is None or got.type not in (kind, schema_pb2.TYPE_UNKNOWN):
            raise ConfigError(
                f"data.schema_path: {path} does not fit the task",
                got=f"no feature {name!r}"
                if got is None
                else f"{name!r} of type {schema_pb2.FeatureType.Name(got.type)}",
                expected=f"a feature {name!r} of type {schema_pb2.FeatureType.Name(kind)}",
                fix="correct the schema, or the columns under `task`",
            )
        set_own(got, kind, task)
    return schema


def own_columns(task: TaskConfig) -> dict[str, int]:
    """The task's columns and their types."""
    answer = schema_pb2.FLOAT if task.type == "regression" else schema_pb2.BYTES
    texts = {name: schema_pb2.BYTES for name in (task.text, task.text_pair) if name is not None}
    return {**texts, task.label: answer}


def set_own(feature: Any, kind: int, task: TaskConfig) -> None:
    """What ingestion guarantees of a task's column."""
    feature.type = kind
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1
    feature.ClearField("value_count")
    feature.ClearField("shape")
    if feature.name == task.label and task.type == "multi_label":
        feature.value_count.min = 0
    else:
        feature.shape.dim.add(size=1)
