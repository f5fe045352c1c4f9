"""What a parent hands to a training in a child process, and what it gets back: files in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.config import ModelsConfig
from models.presets.architecture import Architecture
from models.training.frameworks.contract import is_seed
from tflite.host.json_text import to_json

REQUEST, INITIAL, TRAINED = "request.json", "initial.npz", "trained.npz"


@dataclass(frozen=True)
class Request:
    """What is trained, and how. Every path is absolute.

    Attributes:
        tokenizer: folder of the tokenizer and the labels.
        train, evaluation: folders of rows, see `TokenRows.stored`.
        architecture: of a preset, else None.
        calibrate, resume_key, checkpoint_dir, log_dir: see `models.training.training_run.train`.
    """

    config: ModelsConfig
    tokenizer: Path
    train: Path
    evaluation: Path
    architecture: Architecture | None
    calibrate: bool
    resume_key: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_dir: Path | None = None
    log_dir: Path | None = None

    def save(self, folder: Path) -> None:
        values = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        values["config"] = self.config.model_dump(mode="json")
        values["architecture"] = None if self.architecture is None else json.loads(self.architecture.text())
        (folder / REQUEST).write_text(to_json(values), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Request:
        values = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        for name in ("tokenizer", "train", "evaluation", "checkpoint_dir", "log_dir"):
            values[name] = None if values[name] is None else Path(values[name])
        values["config"] = ModelsConfig.model_validate(values["config"])
        if values["architecture"] is not None:
            values["architecture"] = Architecture(**values["architecture"])
        return cls(**values)


def save_weights(model: keras.Model, file: Path) -> None:
    """Writes all weights, but for the states of random generators, whose form depends on the framework."""
    values = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in _weights(model)]
    np.savez(file, **{str(index): value for index, value in enumerate(values)})  # type: ignore[arg-type]


def load_weights(model: keras.Model, file: Path) -> None:
    """Sets all weights of a model of the same shape, but for the states of random generators."""
    with np.load(file, allow_pickle=False) as arrays:
        for index, weight in enumerate(_weights(model)):
            weight.assign(arrays[str(index)])


def _weights(model: keras.Model) -> list[Any]:
    return [weight for weight in model.weights if not is_seed(weight)]
