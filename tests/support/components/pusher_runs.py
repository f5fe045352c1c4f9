"""Runs of the Pusher on models that return their names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.types import standard_artifacts
from tiny_artifacts import artifact

from components import artifacts
from components.steps.shipping.pusher import Executor
from tflite.host.manifest import MODEL_FILE, Manifest, hash_file


def exported(folder: Path, name: str) -> Path:
    """A SavedModel that returns its name, with the files that the Trainer stores in it."""

    class Named(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
        def answer(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"name": tf.repeat(name, number)}

    tf.saved_model.save(Named(), str(folder))
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "transom.json").write_text(json.dumps({"task": {"text": "review"}}))
    return folder


def push(
    folder: Path,
    name: str,
    base: Path,
    *,
    blessed: int = 1,
    served: int = 1,
    keep: int = 5,
    findings: str = "[]",
    card: str = "{}",
    **more: Any,
) -> Any:
    """Runs the Pusher on a model that returns `name`; returns the PushedModel."""
    model = artifact(standard_artifacts.Model, folder / name)
    if not (folder / name / "Format-Serving").exists():
        exported(folder / name / "Format-Serving", name)
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    blessing.set_int_custom_property("blessed", blessed)
    blessing.set_string_custom_property("verdict", "not blessed: accuracy 0.71 is too low")
    data = artifact(artifacts.DataBlessing, folder / "data")
    (folder / "data" / "findings.json").write_text(findings)
    (folder / "data" / "data_summary.json").write_text("{}")
    gate = artifact(standard_artifacts.InfraBlessing, folder / "served")
    gate.set_int_custom_property("blessed", served)
    gate.set_string_custom_property("verdict", "not served: REST predict of row 3")
    pushed = artifact(standard_artifacts.PushedModel, folder / "pushed" / name)
    Executor().Do(
        {"model": [model], "model_blessing": [blessing], "data_blessing": [data], "serving_blessing": [gate], **more},
        {"pushed_model": [pushed]},
        {
            "directory": str(base),
            "keep": keep,
            "live_version": 0,
            "live_bundle": "",
            "live_cards": "",
            "code": "",
            "card": card,
        }
        | {"edge_directory": str(base.parent / "edge")},
    )
    return pushed


def edge(folder: Path, variant: str, weights: str = "int8") -> dict[str, list[Any]]:
    """The Pusher's inputs from the two edge steps; `weights` is the content of the chosen bundle's model."""
    bundles = artifact(artifacts.EdgeBundles, folder / "bundles")
    if variant:
        chosen = folder / "bundles" / variant
        chosen.mkdir(exist_ok=True)
        (chosen / MODEL_FILE).write_text(weights)
        (chosen / "README.md").write_text("# How to use the bundle\n")
        manifest = Manifest("m", "single_label", False, (8,), 0, 0.5, "|", variant, report={"bytes": 4})
        dataclasses.replace(manifest, sha256={MODEL_FILE: hash_file(chosen / MODEL_FILE)}).save(chosen)
    blessing = artifact(standard_artifacts.InfraBlessing, folder / "edge")
    blessing.set_string_custom_property("variant", variant)
    row = {"variant": variant, "chosen": True, "parity": {"rows": 9}, "cost": {"bytes": 4}, "latency_ratio": 0.5}
    row |= {"why": ""}
    report = {
        "blessed": bool(variant),
        "verdict": "edge bundle",
        "variants": [row] if variant else [],
        "budget": {"megabytes": 1},
    }
    (folder / "edge" / "edge_report.json").write_text(json.dumps(report))
    return {"bundles": [bundles], "edge_blessing": [blessing]}
