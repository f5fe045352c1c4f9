"""The key of a training's programs covers what decides them, and nothing that is among their inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import stored_training
from stored_training import store


def _key(folder: Path, **train: Any) -> str | None:
    folder.mkdir()
    return store(folder, **train).program_key()


def test_the_key_of_the_programs(tmp_path: Path) -> None:
    request = store(tmp_path)
    key = request.program_key()
    assert key is not None
    assert _key(tmp_path / "inputs", seed=7, epochs=9, learning_rate=0.5, warmup=0.3, schedule="cosine") == key
    assert replace(request, train_rows=tmp_path / "other", checkpoint_dir=None).program_key() == key
    others = {
        "code": replace(request, resume_key={"code": "2"}).program_key(),
        "setting": _key(tmp_path / "setting", label_smoothing=0.1),
        "task": _key(tmp_path / "task", task="multi_label"),
        "pairs": _key(tmp_path / "pairs", pairs=True),
        "weights": _key(tmp_path / "weights", task="multi_label", class_weights="balanced"),
    }
    replace(stored_training.LABELS, counts=(50, 70), rows=7, mean=1.0, std=2.0).save(tmp_path)
    assert request.program_key() == key
    replace(stored_training.TOKENIZER, lowercase=False).save(tmp_path)
    others["tokenizer"] = request.program_key()
    replace(stored_training.LABELS, labels=("no", "maybe")).save(tmp_path)
    others["labels"] = request.program_key()
    assert len({key, *others.values()}) == len(others) + 1


def test_without_the_code_there_is_none(tmp_path: Path) -> None:
    assert replace(store(tmp_path), resume_key={}).program_key() is None
