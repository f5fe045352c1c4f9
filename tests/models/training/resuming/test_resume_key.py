from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import pytest
import tiny_checkpoints

from models.build import build_model, layer_depths
from models.config import EncoderConfig, PresetConfig
from models.training import loop
from models.training.resuming.resume_key import describe_differences, differences, model_key
from models.training.start import linear_fit


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


@pytest.mark.slow
def test_how_far_the_linear_model_is_fitted_decides_nothing(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preset's is fitted in the background: a killed training must find its checkpoint however fast that was."""
    found, fitted, read = [], Event(), Event()
    fit, key = linear_fit.fit_surface, loop.training_key
    config = EncoderConfig(num_layers=1, width=8, num_heads=2, linear_rows=97, dropout=0.0)

    def train(before: Event, after: Event) -> None:
        def fit_in_turn(*arguments: Any, **options: Any) -> Any:
            assert before.wait(60)
            fit(*arguments, **options)
            fitted.set()

        def key_in_turn(*arguments: Any) -> Any:
            assert after.wait(60)
            found.append(key(*arguments))
            read.set()
            return found[-1]

        monkeypatch.setattr(linear_fit, "fit_surface", fit_in_turn)
        monkeypatch.setattr(loop, "training_key", key_in_turn)
        tiny.fit(
            make_model=lambda: build_model(config, tokenizer=tiny.TOKENIZER, outputs=2),
            depths=layer_depths,
            preset=True,
            checkpoint_dir=tmp_path,
            train_config={"strategy": "none", "contrastive": "off", "epochs": 1},
        )

    at_once = Event()
    at_once.set()
    train(at_once, fitted)
    read.clear()
    train(read, at_once)
    assert found[0] == found[1]
