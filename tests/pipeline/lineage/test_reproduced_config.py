"""The configuration with which a model is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from written_lineages import facts, lineage, version

from components.lineage.lineage_facts import Lineage, PresetFacts
from models.errors import ConfigError, ModelError, PresetError
from pipeline.configuration.loading import load
from pipeline.lineage import reproduced_config as module
from pipeline.lineage.lineage_reading import read_lineage
from pipeline.lineage.reproduced_config import check_reproducible, reproduced_config


def loaded(given: Lineage, base: Path, folder: Path, *overrides: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "transom.yaml").write_text(reproduced_config(given, base, overrides), encoding="utf-8")
    return load(folder / "transom.yaml")


def test_all_that_decides_the_weights_stays_and_all_folders_are_new(tmp_path: Path) -> None:
    task = {"labels": ["on", "12:30", "no", "\x07"], "label": "größe"}
    given = lineage(
        tmp_path / "p",
        task=task,
        train={"seed": 4, "learning_rate": 1e-5},
        output="/somewhere",
        push={"directory": "/live", "keep": 2},
        edge={"directory": "/bundles"},
        gate={"small_class": "off"},
    )
    config = loaded(given, tmp_path / "p", tmp_path / "again")
    assert config.task.model_dump(mode="json") == given.config["task"]
    assert config.train.model_dump(mode="json") == given.config["train"]
    assert config.model.model_dump(mode="json") == given.config["model"]
    assert (config.output, config.push.directory, config.edge.directory) == (None, None, None)
    assert config.gate.small_class == "off"
    assert config.data.path == (str(tmp_path / "p" / "t.csv"),)


def test_the_curated_schema_is_not_needed(tmp_path: Path) -> None:
    given = lineage(tmp_path, data={"path": "t.csv", "schema_path": "schema.pbtxt"}, patterns=["t.csv"])
    config = loaded(given, tmp_path, tmp_path / "again")
    assert (config.data.schema_path, config.gate.schema_anomaly) == (None, "off")


def test_the_user_may_say_where_inputs_are_and_nothing_else(tmp_path: Path) -> None:
    given = lineage(tmp_path)
    (tmp_path / "t.csv").rename(tmp_path / "u.csv")
    config = loaded(given, tmp_path, tmp_path / "again", "data.path=u.csv", "beam.workers=1")
    assert (config.data.path, config.beam.workers) == ((str(tmp_path / "u.csv"),), 1)
    for override in ("train.epochs=3", "data.dedupe=true", "name=other", "datapath", "model.preset.x=1"):
        with pytest.raises(ConfigError, match="--set"):
            reproduced_config(given, tmp_path, [override])


def test_a_presets_folder_must_have_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minilm").mkdir()
    given = lineage(tmp_path, model={"preset": "minilm"})
    preset = PresetFacts(name="minilm", digest="0" * 32)
    given = given.model_copy(update={"origin": given.origin.model_copy(update={"preset": preset})})

    class Described:
        def __init__(self, name: str) -> None:
            assert name == str(tmp_path / "minilm")

        def digest(self) -> str:
            return found

    monkeypatch.setattr(module, "describe_preset", Described)
    found = "0" * 32
    assert loaded(given, tmp_path, tmp_path / "again").model.preset == str(tmp_path / "minilm")
    found = "1" * 32
    with pytest.raises(PresetError, match="not those that the model was trained with"):
        reproduced_config(given, tmp_path, [])


def test_what_cannot_be_trained_again_is_refused(tmp_path: Path) -> None:
    content = facts(tmp_path)
    check_reproducible(read_lineage(version(tmp_path / "1", content)))
    for number, part in enumerate(({"data": {}}, {"config": {}}, {"config": {"data": 3, "train": []}}), start=2):
        with pytest.raises(ModelError, match="does not say how it was made"):
            check_reproducible(read_lineage(version(tmp_path / str(number), {**content, **part})))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "edge.json").write_text("{}")
    with pytest.raises(ModelError, match="is an edge bundle"):
        check_reproducible(read_lineage(bundle))
