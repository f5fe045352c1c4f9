"""The steps' properties in the graph: a step's cache key covers everything that it reads, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
from safetensors.numpy import load_file, save_file

from components.preset_fingerprint import UNKNOWN_DIGEST
from models.presets.preset_names import PackagedPreset
from pipeline import graph
from pipeline.configuration.loading import load
from pipeline.kubeflow.spec import compile_spec
from pipeline.paths import Paths

CONFIG = """\
name: tiny
data: {path: reviews.csv, schema_path: schema.pbtxt}
tokenizer: {max_length: 16}
model: {preset: ./bert}
"""
SCHEMA = """\
feature { name: "text" type: BYTES value_count { min: 1 max: 1 } }
feature { name: "label" type: BYTES value_count { min: 1 max: 1 } }
feature { name: "place" type: BYTES }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "transom.yaml").write_text(CONFIG)
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    tiny_checkpoints.write(tmp_path / "bert", "bert")
    return tmp_path


def _step_properties(project: Path) -> dict[str, dict[str, Any]]:
    config = load(project / "transom.yaml", [])
    pipeline = graph.build(config, Paths.from_config(config, project / "transom.yaml"))
    return {node.id: dict(node.exec_properties) for node in pipeline.components}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {step for step in before if before[step] != after[step]}


def test_a_packages_preset_is_known_by_its_name_and_its_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name stays, so that the steps' keys do not depend on where the environment is; the files are in the keys."""
    (project / "transom.yaml").write_text(CONFIG.replace("./bert", "minilm-l6"))
    monkeypatch.setattr(PackagedPreset, "folder", project / "bert")
    named = _step_properties(project)
    assert str(project) not in named["Trainer"]["config"]
    tiny_checkpoints.write(project / "elsewhere", "bert")
    monkeypatch.setattr(PackagedPreset, "folder", project / "elsewhere")
    assert _changed(named, _step_properties(project)) == set()
    file = project / "elsewhere" / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "embeddings.LayerNorm.bias": tensors["embeddings.LayerNorm.bias"] + np.float32(1)}, file)
    assert _changed(named, _step_properties(project)) == {"Trainer"}


def test_a_file_that_a_step_reads_is_in_its_key_and_in_no_other(project: Path) -> None:
    properties_before = _step_properties(project)
    assert _changed(properties_before, _step_properties(project)) == set()

    file = project / "bert" / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "embeddings.LayerNorm.bias": tensors["embeddings.LayerNorm.bias"] + np.float32(1)}, file)
    weights = _step_properties(project)
    assert _changed(properties_before, weights) == {"Trainer"}

    words = project / "bert" / "vocab.txt"
    words.write_text(words.read_text().replace("film", "play"))
    vocabulary = _step_properties(project)
    assert _changed(weights, vocabulary) == {"DataGate", "TokenizerTrainer"}, "both read texts as the preset does"

    schema = project / "schema.pbtxt"
    schema.write_text(f"# curated\n{SCHEMA}")
    assert _changed(vocabulary, _step_properties(project)) == set(), "a comment"
    schema.write_text(SCHEMA.replace('"place"', '"country"'))
    curated = _step_properties(project)
    assert _changed(vocabulary, curated) == {"SchemaGen"}

    schema.rename(project / "other.pbtxt")
    config = project / "transom.yaml"
    config.write_text(CONFIG.replace("schema.pbtxt", "other.pbtxt"))
    assert _changed(curated, _step_properties(project)) == set(), "the schema's path"


def test_every_step_is_told_of_its_code(project: Path) -> None:
    step_properties = _step_properties(project)
    assert len(step_properties) > 10
    assert [
        step for step, properties in step_properties.items() if '"code' not in str(properties).replace("'", '"')
    ] == []


def test_on_a_cluster_a_packages_preset_keeps_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is in the image: it need not be installed where the pipeline is compiled."""
    (project / "transom.yaml").write_text(CONFIG.replace("./bert", "minilm-l6"))
    monkeypatch.setattr(PackagedPreset, "folder", None)
    config = load(project / "transom.yaml", [])
    folders = [project, *map(Path, ("/mnt/out", "/mnt/push", "/mnt/edge"))]
    pipeline = graph.build(config, Paths(*folders, container_base=Path("/mnt")))
    trainer = next(node for node in pipeline.components if node.id == "Trainer")
    assert '"preset": "minilm-l6"' in trainer.exec_properties["config"]
    assert trainer.exec_properties["preset"] == UNKNOWN_DIGEST


def test_a_cluster_caches_no_step_that_reads_a_preset(project: Path) -> None:
    """The files are on the cluster: those of this machine do not matter."""
    config = load(project / "transom.yaml", [])
    paths = Paths(
        project,
        Path("/mnt/out"),
        Path("/mnt/push"),
        Path("/mnt/edge"),
        container_base=Path("/mnt"),
        preset=Path("/mnt/b"),
    )
    pipeline = graph.build(config, paths)
    spec = compile_spec(
        pipeline, config.kubeflow, "image", target="kubeflow", onednn="auto", attempts=Path("/mnt/out/attempts")
    )
    tasks = spec["root"]["dag"]["tasks"]
    cached = {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    assert set(tasks) - cached == {"ExampleGen", "LiveModel", "DataGate", "TokenizerTrainer", "Trainer", "Pusher"}
    assert UNKNOWN_DIGEST in str(tasks["Trainer"]["inputs"]["parameters"])


def test_nothing_is_trained_before_the_data_gate_has_passed(project: Path) -> None:
    """TokenizerTrainer and Transform may begin early on this machine, so the Trainer itself must wait for the gate."""
    config = load(project / "transom.yaml", [])
    pipeline = graph.build(config, Paths.from_config(config, project / "transom.yaml"))
    trainer = next(node for node in pipeline.components if node.id == "Trainer")
    assert "DataGate" in {node.id for node in trainer.upstream_nodes}
