"""Tiny checkpoints as KerasHub computes them and as NumPy does."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import numpy_encoders
import tiny_checkpoints

from models.config import PresetConfig
from models.presets.backbones import load_backbone

FAMILIES = sorted(tiny_checkpoints.CONFIGS)


def load(folder: Path, **changes: object) -> keras.Model:
    return load_backbone(PresetConfig(type="preset", preset=str(folder), **changes))


def features(table: int, length: int = 11) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    mask = (np.arange(length) < np.array([[length], [length - 5], [2]])).astype("int32")
    ids = generator.integers(5, table, (3, length)).astype("int32") * mask
    segments = (np.arange(length) > 3).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}


def reference(tensors: dict, config: dict, values: dict[str, np.ndarray], activation: str | None = None) -> np.ndarray:
    mask = values["padding_mask"].astype(bool)
    return numpy_encoders.states(tensors, config, values["token_ids"], mask, values["segment_ids"], activation)


def largest_difference(one: np.ndarray, other: np.ndarray, values: dict[str, np.ndarray]) -> float:
    """Over the tokens; the states of padding have no meaning."""
    tokens = values["padding_mask"].astype(bool)
    return float(np.abs(np.array(one)[tokens] - np.array(other)[tokens]).max())
