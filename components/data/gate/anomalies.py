"""The anomalies that TFX's ExampleValidator reports, as findings of the data gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.config import GateConfig, Severity
from components.data.gate.findings import Finding
from models.config import TaskConfig

_FILE_NAME = "SchemaDiff.pb"  # ExampleValidator's


def load_anomalies(folder: Path | str) -> Any:
    """The `Anomalies` in the folder of one split of ExampleValidator's output."""
    return anomalies_pb2.Anomalies.FromString(Path(folder, _FILE_NAME).read_bytes())


def anomaly_findings(
    anomalies: Any, split: str, *, task: TaskConfig, gate: GateConfig, curated: bool
) -> Iterator[Finding]:
    """One finding per column and anomaly.

    Args:
        curated: the user wrote the schema, so every anomaly counts. An inferred schema only knows which values the
            columns that the task does not use happened to have in training; differences there are warnings at most.
    """
    if gate.schema_anomaly == "off":
        return
    task_columns = {task.text, task.text_pair, task.label}
    for name, info in sorted(anomalies.anomaly_info.items()):
        column = ".".join(info.path.step) or name
        severity = gate.schema_anomaly if curated or column in task_columns else "warn"
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
