"""Checkpoints of a training of two variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.training.resuming.checkpoint import Checkpoints

IDENTITY = {"train": {"learning_rate": 0.001}, "rows": [1, 2]}


def variables(value: float) -> list[Any]:
    return [
        keras.Variable(np.full((2, 3), value), dtype="float32"),
        keras.Variable(np.array(7 * int(value), "int64"), dtype="int64"),
    ]


def save_checkpoint(directory: Path, value: float = 3.0, identity: dict[str, Any] = IDENTITY, **state: Any) -> Path:
    """One training's checkpoint; returns its folder."""
    checkpoints = Checkpoints(directory, identity)
    with checkpoints.open():
        assert checkpoints.save(variables(value), {"total_steps": 5, **state})
        assert checkpoints.folder is not None
        return checkpoints.folder


def load_checkpoint(directory: Path, identity: dict[str, Any] = IDENTITY) -> tuple[Any, float]:
    checkpoints, target = Checkpoints(directory, identity), variables(0.0)
    with checkpoints.open():
        return checkpoints.load(target), float(target[0].numpy()[0, 0])
