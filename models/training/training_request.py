"""A training as data: all that it depends on is in files, so that another process can do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from models import heap
from models.build import build_model, layer_depths
from models.config import ModelsConfig
from models.presets.architecture import Architecture
from models.training.loss import label_weights
from models.training.progress import Progress
from models.training.resuming.resume_key import digest, versions
from models.training.token_rows import TokenRows
from models.training.training_run import PreparedTraining, TrainedModel, prepared_training, train
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

REQUEST = "request.json"
# Settings that no program of a step depends on: what differs is among its inputs.
_OUTSIDE = ("seed", "epochs", "learning_rate", "schedule", "warmup", "early_stopping", "metric", "checkpoint_steps")


@dataclass(frozen=True)
class Request:
    """What is trained, and how. Every path is absolute.

    Attributes:
        tokenizer: folder of the tokenizer and the labels.
        train_rows, eval_rows: folders of rows, see `TokenRows.stored`.
        architecture: of a preset, else None.
        calibrate, resume_key, checkpoint_dir, log_dir: see `models.training.training_run.train`.
    """

    config: ModelsConfig
    tokenizer: Path
    train_rows: Path
    eval_rows: Path
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
        for name in ("tokenizer", "train_rows", "eval_rows", "checkpoint_dir", "log_dir"):
            values[name] = None if values[name] is None else Path(values[name])
        values["config"] = ModelsConfig.model_validate(values["config"])
        if values["architecture"] is not None:
            values["architecture"] = Architecture(**values["architecture"])
        return cls(**values)

    def build(self, architecture: Architecture | None = None) -> keras.Model:
        """The model, on the framework of this process; for the argument see `models.build.build_model`."""
        return build_model(
            self.config.model,
            tokenizer=Tokenizer.load(self.tokenizer),
            outputs=LabelSpace.load(self.tokenizer).outputs,
            two_texts=self.config.task.text_pair is not None,
            architecture=architecture,
        )

    def program_key(self) -> str | None:
        """A digest of all that decides the programs of the training's step, but for its variables and batches; None if
        the code is not known."""
        if "code" not in self.resume_key:
            return None
        task, settings = self.config.task.model_dump(mode="json"), self.config.train.model_dump(mode="json")
        labels = LabelSpace.load(self.tokenizer)
        # Elsewhere a row's weight is an input, and the mean and spread of a number are taken off before.
        several = self.config.task.type == "multi_label"
        weights = label_weights(self.config.task, self.config.train, labels).tolist() if several else []
        return digest(
            {
                **self.resume_key,
                "task": task,
                "train": {name: value for name, value in settings.items() if name not in _OUTSIDE},
                "tokenizer": Tokenizer.load(self.tokenizer).digest(),
                "labels": [labels.labels, weights],
                "preset": None if self.architecture is None else self.architecture.text(),
                "versions": versions(),
            }
        )

    def train(
        self,
        make_model: Callable[[], keras.Model],
        *,
        on_progress: Callable[[Progress], None],
        on_note: Callable[[str], None],
    ) -> TrainedModel:
        """Trains in this process; for arguments, result and errors see `models.training.training_run.train`."""
        with heap.returned_memory():  # the optimizer's goes before the export takes more
            return train(
                make_model,
                **self._settings(),
                resume_key=self.resume_key,
                log_dir=self.log_dir,
                on_progress=on_progress,
                on_note=on_note,
            )

    def prepare(self, on_note: Callable[[str], None]) -> AbstractContextManager[PreparedTraining]:
        """The training before its first step, see `models.training.training_run.prepared_training`."""
        return prepared_training(self.build, **self._settings(), on_note=on_note)

    def _settings(self) -> dict[str, Any]:
        """Arguments of `models.training.training_run.prepared_training`."""
        return {
            "train": TokenRows.stored(self.train_rows),
            "evaluation": TokenRows.stored(self.eval_rows),
            "task": self.config.task,
            "config": self.config.train,
            "labels": LabelSpace.load(self.tokenizer),
            "tokenizer": Tokenizer.load(self.tokenizer),
            "depths": layer_depths,
            "preset": self.config.model.type == "preset",
            "calibrate": self.calibrate,
            "program_key": self.program_key(),
            "checkpoint_dir": self.checkpoint_dir,
        }
