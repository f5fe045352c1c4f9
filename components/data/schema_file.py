"""A curated schema as a file, and the parts of every schema that the task decides. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.config import TaskConfig
from models.errors import ConfigError


def read_curated_schema(path: Path, task: TaskConfig) -> Any:
    """A schema that the user wrote, with the shapes that the task decides.

    Raises:
        ConfigError: the file cannot be read, or a column of the task is missing or has another type.
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
    for name, feature_type in task_columns(task).items():
        feature = features.get(name)
        if feature is None or feature.type not in (feature_type, schema_pb2.TYPE_UNKNOWN):
            raise ConfigError(
                f"data.schema_path: {path} does not fit the task",
                got=f"no feature {name!r}"
                if feature is None
                else f"{name!r} of type {schema_pb2.FeatureType.Name(feature.type)}",
                expected=f"a feature {name!r} of type {schema_pb2.FeatureType.Name(feature_type)}",
                fix="correct the schema, or the columns under `task`",
            )
        set_task_column(feature, feature_type, task)
    return schema


def task_columns(task: TaskConfig) -> dict[str, int]:
    """The task's columns and their feature types."""
    label_type = schema_pb2.FLOAT if task.type == "regression" else schema_pb2.BYTES
    texts = {name: schema_pb2.BYTES for name in (task.text, task.text_pair) if name is not None}
    return {**texts, task.label: label_type}


def set_task_column(feature: Any, feature_type: int, task: TaskConfig) -> None:
    """Sets what ingestion guarantees for a column of the task."""
    feature.type = feature_type
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1
    feature.ClearField("value_count")
    feature.ClearField("shape")
    if feature.name == task.label and task.type == "multi_label":
        feature.value_count.min = 0
    else:
        feature.shape.dim.add(size=1)
