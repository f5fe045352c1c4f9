"""What an evaluation measured, as plain records. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tflite.host.prediction import TaskType

Figures = Mapping[str, float]

INTERVAL = 0.8
"""Share of the draws (`bootstrap.py`) between the bounds of a loss: one in ten lies below them, one in ten
above."""


@dataclass(frozen=True)
class Comparison:
    """The candidate and the live model on the same rows.

    Attributes:
        candidate, live: their figures.
        losses: metric to the lowest and the highest loss that chance makes plausible (`bootstrap.py`): how
            much worse the candidate is, negative where it is better. A metric is absent where its interval was not
            asked for, or where the rows cannot define it.
    """

    candidate: Figures
    live: Figures
    losses: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that both were measured on."""
        return int(self.live["example_count"])


@dataclass(frozen=True)
class Slice:
    """The figures of some rows.

    Attributes:
        column: what the rows have in common; "" for all rows.
        value: its value.
        metrics: the candidate's figures.
        comparison: with the live model, on those of the rows that can be compared; None where it was not measured.
        unreached: figures that the rows define and this model does not have: the precision of a label that it never
            predicts, the correlation of a model that always says the same.
    """

    column: str
    value: str
    metrics: Figures
    comparison: Comparison | None = None
    unreached: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """Rows that have an answer."""
        return int(self.metrics["example_count"])

    @property
    def not_finite(self) -> int:
        """Rows that the candidate answers with NaN or infinity."""
        return int(self.metrics.get("not_finite_count", 0))

    @property
    def name(self) -> str:
        """ "column=value", or "" for all rows."""
        return f"{self.column}={self.value}" if self.column else ""


@dataclass(frozen=True)
class LiveState:
    """What is known of the live model.

    Attributes:
        version: its number; 0: nothing is live.
        why_not: why it could not be compared with the candidate; "" where it was, or where nothing needs to be.
        same: the candidate is this very model.
        labels: where the two have other labels, those that both have: only rows with one of these are compared.
    """

    version: int = 0
    why_not: str = ""
    same: bool = False
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Measurements:
    """All that was measured.

    Attributes:
        task: `task.type`.
        split: name of the split whose rows were taken.
        labels: labels in the order of the outputs.
        whole: all rows.
        slices: every slice, small ones too, in any order.
        confusion: counts of answer by prediction: [C + 1, C] for one label a row (the last row: answers that the model
            does not know), [C, 2, 2] for many; None for a regression.
        live: the live model.
        notes: sentences that the user should hear.
    """

    task: TaskType
    split: str
    labels: tuple[str, ...]
    whole: Slice
    slices: tuple[Slice, ...] = ()
    confusion: list[Any] | None = None
    live: LiveState = LiveState()
    notes: tuple[str, ...] = ()


def without_broken_live(measured: Measurements) -> Measurements:
    """The same, without a comparison where the live model answers some rows with no number."""
    found = measured.whole.comparison
    broken = int(found.live["not_finite_count"]) if found is not None else 0
    if found is None or not broken:
        return measured

    def bare(part: Slice) -> Slice:
        return replace(part, comparison=None)

    why = f"it answers {broken} of {found.rows} rows with NaN or infinity"
    return replace(
        measured,
        whole=bare(measured.whole),
        slices=tuple(bare(part) for part in measured.slices),
        live=replace(measured.live, why_not=why),
    )


def number(value: float | None) -> float | None:
    """A figure for the report: None where it cannot be computed."""
    return None if value is None or not math.isfinite(value) else value


def natural(part: Slice) -> tuple[Any, ...]:
    """Sorts slices by column, then by value with numbers in numeric order ("16-31" before "128-255")."""
    pieces = re.split(r"(\d+)", part.value)
    return part.column, [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
