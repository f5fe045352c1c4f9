"""What TFX's ExampleValidator found, as findings of the data gate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.config import GateConfig, Severity
from components.data.gate.findings import Finding
from models.config import TaskConfig


def read(artifact: types.Artifact, split: str) -> Any:
    """The `Anomalies` of a split."""
    path = os.path.join(artifact_utils.get_split_uri([artifact], split), DEFAULT_FILE_NAME)
    anomalies = anomalies_pb2.Anomalies()
    anomalies.ParseFromString(io_utils.read_bytes_file(path))
    return anomalies


def findings(anomalies: Any, split: str, *, task: TaskConfig, gate: GateConfig, curated: bool) -> Iterator[Finding]:
    """One finding per column and anomaly.

    Args:
        curated: the schema is the user's own: then every anomaly counts. An inferred one says of the columns beside
            the task's only what happened to occur in training, and what differs from that is a warning at most.
    """
    if gate.schema_anomaly == "off":
        return
    own = {task.text, task.text_pair, task.label}
    for name, info in sorted(anomalies.anomaly_info.items()):
        column = ".".join(info.path.step) or name
        severity = gate.schema_anomaly if curated or column in own else "warn"
        for reason in info.reason or [info]:
            yield _finding(column, split, reason, severity)
    if anomalies.HasField("dataset_anomaly_info"):
        for reason in anomalies.dataset_anomaly_info.reason:
            yield _finding("", split, reason, gate.schema_anomaly)


def _finding(column: str, split: str, reason: Any, severity: Severity) -> Finding:
    short, long = reason.short_description.strip(" ."), reason.description.strip(" .")
    return Finding(
        "schema_anomaly",
        severity,
        split,
        column,
        f"{short[:1].lower()}{short[1:]}: {long}",
        fix="correct the column, or give a schema that allows it (data.schema_path)",
    )
