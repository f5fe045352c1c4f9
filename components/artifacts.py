"""Transom's own artifact types. The Kubeflow compiler accepts only names such as `transom.Tokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx import types

from tflite.host.json_text import to_json

Artifacts = dict[str, list[types.Artifact]]
"""An executor's inputs or outputs, by key."""
BLESSED, VERDICT, VARIANT = "blessed", "verdict", "variant"
"""Properties of the serving gate's and the edge gate's `InfraBlessing`: 1 or 0, as TFX's InfraValidator sets it; a
sentence; and the edge gate's choice ("" for none)."""
MEASURE_AGAIN = "again"
"""Another of their properties, and a key of their reports. 1: the result may have a temporary cause (a process was
killed, the machine was busy), so later runs do not take it from the cache."""


def write_blessing(blessing: types.Artifact, report: Mapping[str, Any], file: str) -> None:
    """Writes a gate's report into its blessing: all of it as a JSON file, the verdict as properties too."""
    text = to_json(report, indent=1)
    Path(blessing.uri, file).write_text(text + "\n", encoding="utf-8")
    blessing.set_int_custom_property(BLESSED, int(report[BLESSED]))
    blessing.set_string_custom_property(VERDICT, report[VERDICT])
    blessing.set_int_custom_property(MEASURE_AGAIN, int(report.get(MEASURE_AGAIN, False)))


class TokenizerArtifact(types.Artifact):
    """A folder with `tokenizer.json`, the vocabulary file and `labels.json`."""

    TYPE_NAME = "transom.Tokenizer"


class BaselinesArtifact(types.Artifact):
    """A folder with `baselines.json` and the linear model's predictions; see `components.baselines`."""

    TYPE_NAME = "transom.Baselines"


class DataBlessing(types.Artifact):
    """A folder with `findings.json`, the data gate's findings. It exists only if the data passed the gate."""

    TYPE_NAME = "transom.DataBlessing"


class LiveModelArtifact(types.Artifact):
    """The model that is live at the push destination, and its `version`. If none is: version 0 and an empty folder."""

    TYPE_NAME = "transom.LiveModel"

    # A custom property: TFX's Kubeflow compiler refuses custom artifact types that declare properties.
    @property
    def version(self) -> int:
        return int(self.get_int_custom_property("version"))

    @version.setter
    def version(self, version: int) -> None:
        self.set_int_custom_property("version", version)


class ReportArtifact(types.Artifact):
    """A folder with the page of a run. On Kubeflow it is the page itself, of the type that its viewer shows."""

    TYPE_NAME = "transom.Report"
    FILE = "report.html"
    KUBEFLOW_TYPE = "system.HTML"


class EdgeBundles(types.Artifact):
    """A folder with a bundle for each variant, and `bundles.json`: which could not be exported, and why."""

    TYPE_NAME = "transom.EdgeBundles"
