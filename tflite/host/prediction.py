"""Tasks, predictions, and a check of the inputs, in Python's own types. No TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .errors import ModelError

TaskType = Literal["single_label", "multi_label", "regression"]


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one text.

    Attributes:
        score: `single_label`: probability of the label; `multi_label`: the highest probability; `regression`: the
            number, in the unit of the training labels.
        label: the label, or the predicted labels joined by the task's separator; None for a regression.
        probabilities: label to probability, empty for a regression.
    """

    score: float
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: only `score` for a regression."""
        return {"score": self.score} if self.label is None else asdict(self)

    def line(self) -> str:
        """For a terminal: label and score separated by a tab, or the number."""
        return f"{self.score:.4g}" if self.label is None else f"{self.label}\t{self.score:.3f}"


def check_pairs(model: object, reads_pairs: bool, texts: int, pairs: int | None) -> None:
    """Checks that there are as many second texts as the model expects.

    Args:
        model: its folder, for the errors.
        reads_pairs: whether it reads pairs of texts.
        texts: number of first texts.
        pairs: number of second texts; None if there are none.

    Raises:
        ModelError: second texts for a model of single texts, or a wrong number of them for a model of pairs.
    """
    if pairs is not None and not reads_pairs:
        raise ModelError(
            f"the model in {model} reads one text", got="second texts", expected="none", fix="leave them out"
        )
    if reads_pairs and pairs != texts:
        raise ModelError(
            f"the model in {model} reads pairs of texts",
            got=f"{texts} text{'' if texts == 1 else 's'} and {pairs or 'no'} second text{'' if pairs == 1 else 's'}",
            expected="a second text for each",
            fix="give it with --pair, as `pairs`, or in each row's second column",
        )
