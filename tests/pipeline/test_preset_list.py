"""`transom presets`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_checkpoints

from models.presets.names.keras_hub_names import registered_presets
from models.presets.preset_names import MINILM, PackagedPreset
from pipeline.cli import main


@pytest.fixture(autouse=True)
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setattr(PackagedPreset, "folder", None)


def test_without_the_package_the_command_that_installs_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"on this machine: none\nto install minilm-l6 ({MINILM.summary}): {MINILM.install}\n")
    assert all(name in printed for name in registered_presets())
    assert "hf://google-bert/bert-base-uncased" in printed


def test_a_line_of_json_for_each_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["presets", "--json"]) == 0
    absent = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["preset"] for one in absent} == {"minilm-l6", *registered_presets()}
    assert not any(one["here"] for one in absent)

    tiny_checkpoints.write(tmp_path / "package", "bert")
    monkeypatch.setattr(PackagedPreset, "folder", tmp_path / "package")
    assert main(["presets", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["preset"], first["here"], first["folder"]) == ("minilm-l6", True, str(tmp_path / "package"))
    assert main(["presets"]) == 0
    assert "  minilm-l6  BERT, " in capsys.readouterr().out
