"""What a model can answer, and one answer. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE_NAME = "labels.json"


@dataclass(frozen=True)
class LabelSpace:
    """What a model can answer, as learned from the training split.

    Attributes:
        labels: names in the order of the outputs; empty for a regression.
        counts: training rows with each label, in the same order; empty for a regression.
        rows: training rows.
        mean: regression: mean of the answers, in the answers' own unit.
        std: regression: their standard deviation (never 0), same unit.
    """

    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    rows: int = 0
    mean: float = 0.0
    std: float = 1.0

    @property
    def outputs(self) -> int:
        """Size of the model's output: labels, or 1 for a regression."""
        return len(self.labels) or 1

    def save(self, directory: Path | str) -> None:
        """Writes `labels.json`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        Path(directory, FILE_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path | str) -> LabelSpace:
        """Reads what `save` wrote."""
        raw = json.loads(Path(directory, FILE_NAME).read_text(encoding="utf-8"))
        return cls(**{**raw, "labels": tuple(raw["labels"]), "counts": tuple(raw["counts"])})


@dataclass(frozen=True)
class Answer:
    """What a model says of one text.

    Attributes:
        score: `single_label`: probability of the label; `multi_label`: the highest probability; `regression`: the
            number, in the unit of the training answers.
        label: the label, or the given labels joined by the task's separator; None for a regression.
        probabilities: label to probability, empty for a regression.
    """

    score: float
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What JSON shall say: only `score` for a regression."""
        return {"score": self.score} if self.label is None else asdict(self)

    def line(self) -> str:
        """The answer for a terminal: label and score with a tab between, or the number."""
        return f"{self.score:.4g}" if self.label is None else f"{self.label}\t{self.score:.3f}"
