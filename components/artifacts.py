"""Transom's own artifact types. The Kubeflow compiler takes only names like `transom.Tokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx import types

from tflite.host.json_text import to_json

BLESSED, VERDICT, VARIANT = "blessed", "verdict", "variant"
"""Properties of the two gates' `InfraBlessing`: 1 or 0, as TFX's InfraValidator says it, a sentence, and the edge
gate's choice ("" for none)."""
AGAIN = "again"
"""Another of their properties, and a key of their reports. 1: what was measured may be the moment's doing (a process
was killed, the machine was busy), so that no later run takes it from the cache."""


def bless(blessing: types.Artifact, report: Mapping[str, Any], file: str) -> None:
    """Writes a gate's report into its blessing: the whole as a JSON file, and `blessed` and `verdict` as properties."""
    text = to_json(report, indent=1)
    Path(blessing.uri, file).write_text(text + "\n", encoding="utf-8")
    blessing.set_int_custom_property(BLESSED, int(report[BLESSED]))
    blessing.set_string_custom_property(VERDICT, report[VERDICT])
    blessing.set_int_custom_property(AGAIN, int(report.get(AGAIN, False)))


class TokenizerArtifact(types.Artifact):
    """A folder with `tokenizer.json`, the vocabulary's own file and `labels.json`."""

    TYPE_NAME = "transom.Tokenizer"


class DataBlessing(types.Artifact):
    """A folder with `findings.json`: what the data gate found. It exists only where the gate let the data pass."""

    TYPE_NAME = "transom.DataBlessing"


class LiveModelArtifact(types.Artifact):
    """What is live at the push destination: `version` names it, 0 where nothing is; the folder then is empty."""

    TYPE_NAME = "transom.LiveModel"

    # A custom property: TFX's Kubeflow compiler refuses own artifact types that declare properties.
    @property
    def version(self) -> int:
        return int(self.get_int_custom_property("version"))

    @version.setter
    def version(self, version: int) -> None:
        self.set_int_custom_property("version", version)


class EdgeBundles(types.Artifact):
    """A folder with a bundle for each variant, and `bundles.json`: which could not be made, and why."""

    TYPE_NAME = "transom.EdgeBundles"
