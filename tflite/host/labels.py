"""The labels in the order of the outputs, or the mean and spread of a regression. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .json_text import to_json

LABELS_FILE = "labels.json"


@dataclass(frozen=True)
class LabelSpace:
    """The possible predictions of a model, learned from the training split."""

    labels: tuple[str, ...] = ()  # names in the order of the outputs; empty for a regression
    counts: tuple[int, ...] = ()  # training rows with each label, in the same order; empty for a regression
    rows: int = 0  # number of training rows
    mean: float = 0.0  # regression: mean of the training labels, in their own unit
    std: float = 1.0  # regression: their standard deviation (never 0), in the same unit

    @property
    def outputs(self) -> int:
        """Size of the model's output: labels, or 1 for a regression."""
        return len(self.labels) or 1

    def save(self, directory: Path | str) -> None:
        text = to_json(asdict(self), indent=1)
        Path(directory, LABELS_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path | str) -> LabelSpace:
        raw = json.loads(Path(directory, LABELS_FILE).read_text(encoding="utf-8"))
        return cls(**{**raw, "labels": tuple(raw["labels"]), "counts": tuple(raw["counts"])})
