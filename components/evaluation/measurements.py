"""The measurements of an evaluation, as plain records. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tflite.host.prediction import TaskType

Metrics = Mapping[str, float]

MAJORITY, LINEAR = "majority", "linear"
"""The names of the baselines, as in `evaluation.baselines`: the trivial answer and the linear model."""
MODEL, LIVE = "model", "live"
SOURCES = (MODEL, LIVE, LINEAR)
"""What predicts each row: the evaluated model, the live one, the linear baseline."""
FEWEST_ROWS = 20
"""With fewer rows there is no interval: draws of so few rows are too similar to show the effect of chance."""
INTERVAL = 0.8
"""The share of the draws (`bootstrap.py`) between the bounds of a loss: one in ten is below them, one in ten above."""


@dataclass(frozen=True)
class Comparison:
    """The candidate and the live model, or a baseline, on the same rows.

    Attributes:
        candidate, live: their metrics.
        losses: metric to the lower and upper bound of its loss (`bootstrap.py`): how much worse the candidate is,
            negative if it is better. A metric is absent if no interval was requested, or if the rows do not define it.
    """

    candidate: Metrics
    live: Metrics
    losses: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that both were measured on."""
        return int(self.live["example_count"])


@dataclass(frozen=True)
class Slice:
    """The metrics of some rows.

    Attributes:
        column: the column in which the rows have the same value; "" for all rows.
        value: that value.
        metrics: the candidate's metrics.
        comparison: with the live model, on the rows that can be compared; None if the live model was not measured.
        baselines: by name ("majority", "linear"), the comparison with each baseline that was measured.
        unreached: metrics that the rows define but the candidate does not have: the precision of a label that it never
            predicts, the correlation of constant predictions.
    """

    column: str
    value: str
    metrics: Metrics
    comparison: Comparison | None = None
    unreached: frozenset[str] = frozenset()
    baselines: Mapping[str, Comparison] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that have a target."""
        return int(self.metrics["example_count"])

    @property
    def not_finite(self) -> int:
        """Rows for which the candidate predicts NaN or infinity."""
        return int(self.metrics.get("not_finite_count", 0))

    @property
    def name(self) -> str:
        """ "column=value", or "" for all rows."""
        return f"{self.column}={self.value}" if self.column else ""


@dataclass(frozen=True)
class LiveState:
    """The state of the live model.

    Attributes:
        version: its number; 0: nothing is live.
        why_not: why it could not be compared with the candidate; "" if it was, or did not need to be.
        same: the candidate is the live model.
        labels: if their labels differ, the labels that both have: only rows with one of these are compared.
    """

    version: int = 0
    why_not: str = ""
    same: bool = False
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class BaselineFacts:
    """What the verdict and the report need to know of the baselines, besides their metrics.

    Attributes:
        metrics: by name of a baseline, the metrics to judge by, the first that the rows define.
        answers: by name, what it answers: "always 'ham'", "a linear model of words and characters".
        why_not: by name, why it could not be fitted.
        train_rows: by name, the training rows that it was fitted on.
        all_rows: all training rows.
        seconds: that the linear model took.
    """

    metrics: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, str]
    why_not: Mapping[str, str] = field(default_factory=dict)
    train_rows: Mapping[str, int] = field(default_factory=dict)
    all_rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Measurements:
    """All measurements of an evaluation.

    Attributes:
        task: `task.type`.
        split: the name of the evaluated split.
        labels: labels in the order of the outputs.
        whole: all rows.
        slices: every slice, small ones too, in any order.
        confusion: counts of target by prediction: [C + 1, C] for one label per row (the last row: targets that the
            model does not know), [C, 2, 2] for many; None for a regression.
        live: the live model.
        baselines: what is known of the baselines; None if they were not fitted.
        notes: sentences for the user.
    """

    task: TaskType
    split: str
    labels: tuple[str, ...]
    whole: Slice
    slices: tuple[Slice, ...] = ()
    confusion: list[Any] | None = None
    live: LiveState = LiveState()
    baselines: BaselineFacts | None = None
    notes: tuple[str, ...] = ()


def without_broken_live(measured: Measurements) -> Measurements:
    """Leaves out the comparison if the live model predicts NaN or infinity for some rows."""
    comparison = measured.whole.comparison
    broken = int(comparison.live["not_finite_count"]) if comparison is not None else 0
    if comparison is None or not broken:
        return measured
    why = f"it predicts NaN or infinity for {broken} of {comparison.rows} rows"
    return replace(
        measured,
        whole=replace(measured.whole, comparison=None),
        slices=tuple(replace(part, comparison=None) for part in measured.slices),
        live=replace(measured.live, why_not=why),
    )


def finite_or_none(value: float | None) -> float | None:
    """A metric for the report: None if it cannot be computed."""
    return None if value is None or not math.isfinite(value) else value


def natural_order(part: Slice) -> tuple[Any, ...]:
    """A sort key: by column, then by value with numbers in numeric order ("16-31" before "128-255")."""
    pieces = re.split(r"(\d+)", part.value)
    return part.column, [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
