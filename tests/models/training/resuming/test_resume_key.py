from __future__ import annotations

import json
import shutil
from pathlib import Path

import tiny_checkpoints

from models.config import EncoderConfig, PresetConfig
from models.training.resuming.resume_key import describe_differences, differences, model_key


def test_where_a_preset_lies_decides_nothing_and_what_it_says_does(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path / "here", "bert")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (model_key(PresetConfig(type="preset", preset=str(tmp_path / name))) for name in ("here", "there"))
    assert here == there
    file = tmp_path / "there" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "layer_norm_eps": 1e-5}))
    changed = model_key(PresetConfig(type="preset", preset=str(tmp_path / "there")))
    assert differences(here, changed) == ["the preset's architecture"]


def test_from_scratch_the_settings_are_the_model() -> None:
    one, other = model_key(EncoderConfig(width=16, num_heads=2)), model_key(EncoderConfig(width=32, num_heads=2))
    assert differences(one, other) == ["model.width was 16, is 32"]


def test_many_differences_are_counted() -> None:
    found = differences({"train": {}}, {"train": {f"k{number}": number for number in range(6)}})
    assert describe_differences(found).endswith("train.k3 was unset, is 3; and 2 more")


def test_what_follows_from_other_rows_is_not_named_beside_them() -> None:
    then = {"train": {"epochs": 10, "early_stopping": 3, "seed": 0}, "rows": [1, 2], "batches": [[16]]}
    now = {"train": {"epochs": 5, "early_stopping": 2, "seed": 1}, "rows": [1, 3], "batches": [[32]]}
    assert differences(then, now) == ["train.seed was 0, is 1", "the rows of train or eval"]
    assert differences(then, {**now, "rows": [1, 2]})[0] == "train.early_stopping was 3, is 2"
