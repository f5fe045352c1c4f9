"""Presets in packages and in the caches of the hubs' clients."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_checkpoints
from preset_folders import hugging_face, keras_hub

from models.presets.found_presets import find_presets
from models.presets.names.keras_hub_names import registered_presets
from models.presets.preset_names import PackagedPreset


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setattr(PackagedPreset, "folder", None)
    return tmp_path


def test_without_packages_and_caches_there_are_none(caches: Path) -> None:
    assert find_presets() == []


def test_caches_are_searched_and_what_is_incomplete_is_of_no_use(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = caches / "hub" / "models--somebody--tiny-bert"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    hugging_face(cached / "snapshots" / "abc")
    (caches / "hub" / "models--somebody--begun").mkdir()  # a download that has only begun
    name = "bert_tiny_en_uncased"
    folder = caches / "kaggle" / "models" / registered_presets()[name].handle
    folder.mkdir(parents=True)
    keras_hub(folder, tiny_checkpoints.WORDS)
    empty = caches / "kaggle" / "models" / "somebody" / "bert" / "keras" / "small" / "1"
    empty.mkdir(parents=True)
    tiny_checkpoints.write(caches / "package", "bert")
    monkeypatch.setattr(PackagedPreset, "folder", caches / "package")

    found = {one.preset: one for one in find_presets()}
    assert next(iter(found)) == "minilm-l6"
    assert set(found) == {"minilm-l6", "hf://somebody/tiny-bert", name, "kaggle://somebody/bert/keras/small/1"}
    assert found["hf://somebody/tiny-bert"].info is not None
    assert found["hf://somebody/tiny-bert"].size > 0
    assert found[name].folder == folder
    broken = found["kaggle://somebody/bert/keras/small/1"]
    assert broken.info is None
    assert broken.problem == "preset folder kaggle://somebody/bert/keras/small/1 has no config.json"
