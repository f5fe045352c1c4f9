"""Whether two texts are read apart: decided by the folder or the stored architecture, and refused for RoBERTa."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from preset_folders import hugging_face

from models.config import PresetConfig
from models.errors import PresetError
from models.presets.architecture import ARCHITECTURE_FILE, Architecture
from models.presets.pair_encoding import encodes_apart
from models.presets.preset import describe_preset, preset_tokenizer


def sentence_transformers(folder: Path, kind: str) -> str:
    """A folder that says how a sentence is pooled."""
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]
    (folder / "p").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "p" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    return hugging_face(folder, kind)


def decide(preset: str, stored: Path, **changes: object) -> bool:
    """The decision from the preset's folder, which must be that from the stored architecture, too."""
    config, tokenizer = PresetConfig(preset=preset, **changes), preset_tokenizer(preset, 16)
    info = describe_preset(preset)
    (stored / ARCHITECTURE_FILE).write_text(info.text(), encoding="utf-8")
    architecture = Architecture.load(stored)
    assert architecture is not None
    found = encodes_apart(config, info, tokenizer)
    assert encodes_apart(config, architecture, tokenizer) is found
    return found


@pytest.mark.parametrize("kind", ["bert", "distilbert", "deberta-v2"])
def test_a_sentence_encoder_reads_them_apart_and_others_if_asked_to(kind: str, tmp_path: Path) -> None:
    plain, sentences = hugging_face(tmp_path / "plain", kind), sentence_transformers(tmp_path / "sentences", kind)
    assert [decide(preset, tmp_path) for preset in (plain, sentences)] == [False, True]
    assert [decide(preset, tmp_path, pair_encoding="both") for preset in (plain, sentences)] == [True, True]
    assert [decide(preset, tmp_path, pair_encoding="together") for preset in (plain, sentences)] == [False, False]
    assert decide(sentences, tmp_path, pooling="cls"), "what the head sees is another question"


def test_roberta_marks_no_second_text(tmp_path: Path) -> None:
    preset = sentence_transformers(tmp_path / "roberta", "roberta")
    assert not decide(preset, tmp_path)
    assert not decide(preset, tmp_path, pair_encoding="together")
    with pytest.raises(PresetError, match=r"model\.pair_encoding is both") as caught:
        decide(preset, tmp_path, pair_encoding="both")
    assert "set model.pair_encoding to together" in str(caught.value)
