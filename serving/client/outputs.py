"""Converts a model's outputs to predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.client.errors import InvalidRequest, ServerError
from serving.errors import Code


@dataclass(frozen=True)
class Prediction:
    """The prediction for one text.

    Attributes:
        score: `single_label`: probability of the label; `multi_label`: the highest probability; `regression`: the
            number, in the unit of the training labels.
        label: the label, or the given labels joined by the task's separator; None for a regression.
        probabilities: label to probability; empty for a regression. A tuple in the order of the model's outputs
            if its labels are unknown (it has no `classify` signature).
    """

    score: float
    label: str | None = None
    probabilities: Mapping[str, float] | tuple[float, ...] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: only `score` for a regression."""
        if self.label is None:
            return {"score": self.score}
        return {"score": self.score, "label": self.label, "probabilities": self.probabilities}

    def line(self) -> str:
        """For a terminal: label and score, separated by a tab, or the number."""
        return f"{self.score:.4g}" if self.label is None else f"{self.label}\t{self.score:.3f}"


def predictions(outputs: Mapping[str, Any], names: Sequence[str] | None) -> list[Prediction]:
    """The predictions in the outputs of one batch.

    Args:
        outputs: `score` [B] and, unless it is a regression, `label` [B] and `probabilities` [B, C]. A single output
            is the score.
        names: the C labels in the order of the outputs, None if unknown.

    Raises:
        InvalidRequest: the signature has other outputs.
        ServerError: they have other shapes.
    """
    if len(outputs) == 1:
        scores = next(iter(outputs.values()))
        if scores.dtype.kind in "fiu":
            return [Prediction(float(score)) for score in scores.reshape(-1)]
    if not {"label", "score", "probabilities"} <= set(outputs):
        raise InvalidRequest(
            Code.INVALID_ARGUMENT,
            f"the signature returns {sorted(outputs)}, not label, score and probabilities; "
            "query a model that Transom exported, or use predict_arrays",
        )
    try:
        columns = [outputs[name].tolist() for name in ("score", "label", "probabilities")]
        return [
            Prediction(score, label.decode("utf-8", "replace"), _named(row, names))
            for score, label, row in zip(*columns, strict=True)
        ]
    except (ValueError, TypeError, AttributeError):
        shapes = {name: list(outputs[name].shape) for name in ("score", "label", "probabilities")}
        message = f"the server returned the shapes {shapes}, not [B], [B] of strings and [B, C]"
        raise ServerError(Code.INTERNAL, message) from None


def _named(row: list[float], names: Sequence[str] | None) -> Mapping[str, float] | tuple[float, ...]:
    return dict(zip(names, row, strict=True)) if names is not None and len(names) == len(row) else tuple(row)
