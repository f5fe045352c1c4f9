"""A short training on some of a project's rows, on any framework, and what it measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import ModelsConfig, PresetConfig
from models.presets.preset import describe_preset
from models.training.elsewhere.parent import train_elsewhere
from models.training.optimizer import resolve_defaults
from models.training.progress import Progress
from models.training.token_rows import TokenRows
from models.training.training_request import Request
from pipeline.comparison.measurement import Measurement
from tflite.host.labels import LabelSpace

_EVAL_ROWS = 256


@dataclass(frozen=True)
class SampledTraining:
    """Rows, model and settings of the trainings that are compared, and the size of the project's whole training.

    Attributes:
        folder: of the sampled rows; every training gets a folder of its own below it.
        steps: optimizer steps of each training.
        rows: in the sample.
        tokens: of all training rows in all epochs, if no epoch is saved.
    """

    config: ModelsConfig
    folder: Path
    tokenizer: Path
    steps: int
    rows: int
    tokens: int

    @classmethod
    def from_examples(
        cls, config: ModelsConfig, examples: Path, tokenizer: Path, folder: Path, steps: int
    ) -> SampledTraining:
        """Takes rows at random from what Transform has written.

        Args:
            examples: folder of its output, with a folder for each split.
            steps: how many are wanted.
        """
        outputs, task, train = LabelSpace.load(tokenizer).outputs, config.task.type, config.train
        for split in ("train", "eval"):
            files = sorted((examples / f"Split-{split}").iterdir())
            TokenRows.from_tfrecords(files, folder / f"all-{split}", outputs=outputs, task=task)
        every = TokenRows.stored(folder / "all-train")
        wanted = steps * train.batch_size * train.accumulate
        sample = every.sample(wanted, train.seed)
        sample.store(folder / "train")
        TokenRows.stored(folder / "all-eval").sample(_EVAL_ROWS, train.seed).store(folder / "eval")
        preset = isinstance(config.model, PresetConfig)
        pair = config.task.text_pair is not None
        epochs = resolve_defaults(train, preset=preset, rows=len(every), two_texts=pair).epochs or 1
        return cls(config, folder, tokenizer, steps, len(sample), int(every.offsets[-1]) * epochs)

    def run(self, framework: str, interpreter: Path, on_progress: Callable[[Progress], None]) -> Measurement:
        """Trains on a framework.

        Raises:
            TransomError: it cannot.
        """
        begin, request = time.monotonic(), self._request(framework)
        trained = train_elsewhere(
            request.build,
            request,
            self.folder / framework,
            interpreter=interpreter,
            on_progress=on_progress,
            on_note=lambda text: None,
        )
        return _measurement(framework, trained.report, time.monotonic() - begin, self.tokens)

    def _request(self, framework: str) -> Request:
        train, model = self.config.train, self.config.model
        epochs = math.ceil(self.steps * train.batch_size * train.accumulate / self.rows)
        changes: dict[str, Any] = {
            "backend": framework,
            "epochs": epochs,
            "early_stopping": epochs,
            "contrastive": "off",
            "checkpoint_steps": None,
            "strategy": train.strategy if framework == "tensorflow" else "auto",
        }
        update = {
            "train": train.model_copy(update=changes),
            "model": model.model_copy(update={"linear_rows": 0}),  # scikit-learn's part is the same everywhere
        }
        return Request(
            self.config.model_copy(update=update),
            tokenizer=self.tokenizer,
            train_rows=self.folder / "train",
            eval_rows=self.folder / "eval",
            architecture=describe_preset(model.preset) if isinstance(model, PresetConfig) else None,
            calibrate=False,
        )


def _measurement(framework: str, report: dict[str, Any], seconds: float, tokens: int) -> Measurement:
    rate, trained = report["tokens_per_second"], report["seconds"]
    start, first = seconds - trained, report["first_step_seconds"]
    return Measurement(
        framework=framework,
        version=report["framework"].partition(" ")[2],
        tokens_per_second=rate,
        start_seconds=start,
        first_step_seconds=first,
        peak_memory_mb=report["peak_memory_mb"],
        peak_device_memory_mb=report["peak_device_memory_mb"],
        eval_loss=report["history"][-1]["loss"],
        steps=report["steps"],
        devices=report["devices"],
        precision=report["precision"],
        xla=report["xla"],
        # A run has TensorFlow loaded already, and trains on it in its own process.
        whole_seconds=(0.0 if framework == "tensorflow" else start) + first + tokens / rate if rate else None,
    )
