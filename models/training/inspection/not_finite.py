"""Numbers that are not finite: how many there are in a tensor, in which rows of the batch, and the error for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.errors import TrainingError
from models.network.packed import APART
from models.training.batches import Batch
from models.training_config import TrainConfig

_MOST_NAMES = 3


@dataclass(frozen=True)
class Finding:
    """Something that is not finite.

    Attributes:
        kind: "output", of a layer; "logits"; "loss"; "gradient" or "weight".
        where: the path of the layer, or of the variable.
        counts: how many numbers are NaN, infinite, and there in all.
        step: from 1; 0 before the first.
        steps: of the whole training.
        rows: the indices of the training's rows that have it; empty if that is not known.
        batch: the indices of all rows of the batch (of a gradient or weight: of all batches of the step).
        others: paths of more that are not finite.
    """

    kind: str
    where: str
    counts: tuple[int, int, int]
    step: int
    steps: int
    rows: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    others: tuple[str, ...] = field(default=())


class NotFiniteError(TrainingError):
    """The first thing of a training that is not finite."""

    def __init__(self, finding: Finding, config: TrainConfig) -> None:
        self.finding = finding
        when = f"step {finding.step} of {finding.steps}" if finding.step else "before the first step"
        super().__init__(
            f"{when}: {_named(finding)} is not finite",
            got=_got(finding),
            expected="finite numbers",
            fix=_fix(finding, config),
        )


def counts(values: np.ndarray) -> tuple[int, int, int]:
    """How many numbers are NaN, infinite, and there in all."""
    return int(np.isnan(values).sum()), int(np.isinf(values).sum()), values.size


def rows_with(bad: np.ndarray, batch: Batch) -> tuple[int, ...]:
    """The rows of a batch to which some numbers of a tensor belong, as indices of the training's rows, ascending.

    Args:
        bad: bool, of a layer's output: [B, ...], [R, C, ...], [R C, ...] or [R, heads, C, C], where B are rows, and R
            lines of C tokens (also of the lines in which a pair's texts stand apart).

    Returns:
        None of them if the shape does not tell, or they are padding.
    """
    found: set[int] = set()
    for prefix, texts in (("", 1), (APART, 2)):
        lines = batch.features.get(f"{prefix}rows")
        if lines is not None:
            numbers = _numbers(bad, lines, len(batch.targets) * texts)
            found |= {(number - 1) // texts for number in numbers.tolist() if number > 0}
    return tuple(sorted({int(batch.rows[place]) for place in found if place < len(batch.rows)}))


def _numbers(bad: np.ndarray, lines: np.ndarray, rows: int) -> np.ndarray:
    """The numbers, from 1, of the rows on the lines [R, C]; 0: of padding."""
    count, length = lines.shape
    found: np.ndarray = np.empty(0, np.int64)
    if bad.ndim >= 2 and bad.shape[:2] == lines.shape:
        found = lines[_any(bad, 2)]
    elif bad.ndim == 4 and bad.shape[0] == count and bad.shape[2] == length:
        found = lines[bad.any(axis=(1, 3))]
    elif bad.ndim and bad.shape[0] == lines.size:
        found = lines.reshape(-1)[_any(bad, 1)]
    elif bad.ndim and bad.shape[0] == rows:
        found = np.flatnonzero(_any(bad, 1)) + 1
    numbers: np.ndarray = np.unique(found)
    return numbers


def _any(bad: np.ndarray, kept: int) -> np.ndarray:
    flags: np.ndarray = bad.reshape(*bad.shape[:kept], -1).any(axis=-1)
    return flags


def _named(finding: Finding) -> str:
    return {
        "output": f"the output of {finding.where}",
        "logits": "the model's answer, with the linear model's added,",
        "loss": "the loss",
        "gradient": f"the gradient of {finding.where}",
        "weight": f"the weight {finding.where}",
    }[finding.kind]


def _got(finding: Finding) -> str:
    nan, infinite, total = finding.counts
    parts = [f"{nan:,} NaN" if nan else "", f"{infinite:,} infinite" if infinite else ""]
    text = f"{' and '.join(part for part in parts if part)} of {total:,} numbers"
    if finding.rows:
        text += f", of {_some_rows(len(finding.rows), len(finding.batch))}"
    if finding.others:
        more = len(finding.others) - _MOST_NAMES
        text += f"; also {', '.join(finding.others[:_MOST_NAMES])}" + (f" and {more} more" if more > 0 else "")
    return text


def _some_rows(rows: int, batch: int) -> str:
    return f"all {batch} rows of the batch" if rows == batch else f"{rows} of the batch's {batch} rows"


def _fix(finding: Finding, config: TrainConfig) -> str:
    if finding.kind == "weight" and not finding.step:
        return "the model begins with it: check the preset's files"
    if finding.kind in ("loss", "logits"):
        return "look at the labels of the rows, and for a number at its size"
    advice = ["a lower train.learning_rate", "a longer train.warmup"]
    if config.clip_norm is None:
        advice.append("train.clip_norm: 1.0")
    if config.precision != "float32":
        advice.append("train.precision: float32")
    rows = "look at the rows; " if finding.rows and len(finding.rows) < len(finding.batch) else ""
    return f"{rows}try {', '.join(advice)}"
