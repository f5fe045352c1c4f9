"""The labels in the order of the outputs, or the mean and spread of a regression. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .json_text import to_json

LABELS_FILE = "labels.json"


@dataclass(frozen=True)
class LabelSpace:
    """The possible predictions of a model, learned from the training split; the temperatures, from the eval split."""

    labels: tuple[str, ...] = ()  # names in the order of the outputs; empty for a regression
    counts: tuple[int, ...] = ()  # training rows with each label, in the same order; empty for a regression
    rows: int = 0  # number of training rows
    mean: float = 0.0  # regression: mean of the training labels, in their own unit
    std: float = 1.0  # regression: their standard deviation (never 0), in the same unit
    temperatures: tuple[float, ...] = ()
    """The logits are divided by them, inside every exported graph: one number, or for several labels per row one for
    each label. Empty: the logits stay as they are, as in models of earlier versions."""

    @property
    def outputs(self) -> int:
        """Size of the model's output: labels, or 1 for a regression."""
        return len(self.labels) or 1

    def save(self, directory: Path | str) -> None:
        fields = asdict(self)
        if not self.temperatures:  # earlier versions of this file do not know them
            del fields["temperatures"]
        text = to_json(fields, indent=1)
        Path(directory, LABELS_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path | str) -> LabelSpace:
        raw = json.loads(Path(directory, LABELS_FILE).read_text(encoding="utf-8"))
        lists = {"labels": raw["labels"], "counts": raw["counts"], "temperatures": raw.get("temperatures", ())}
        return cls(**raw | {name: tuple(values) for name, values in lists.items()})
