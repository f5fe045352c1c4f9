"""What the eval rows decided about a model's predictions, as lines for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from components.evaluation.thresholds import UNCALIBRATED

_FEW = 200
"""With fewer rows, the calibration error of perfect probabilities is often above 0.05."""


def calibration_lines(fitted: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """One line on the temperatures and what they change, what could not be decided, and a threshold that was chosen.

    Args:
        fitted: `calibration` of the training report; empty if the model is of an earlier version.
        metrics: of all evaluated rows.
    """
    rows, temperatures = f"{fitted.get('rows', 0):,} eval rows", fitted.get("temperatures") or []
    before = {name: metrics.get(f"{UNCALIBRATED}{name}") for name in ("calibration_error", "log_loss")}
    if temperatures and None not in before.values():
        error, loss = (f"{value:.3f} -> {metrics[name]:.3f}" for name, value in before.items())
        low, high = min(temperatures), max(temperatures)
        kind = f"temperature {low:.2f}" if len(temperatures) == 1 else f"temperatures {low:.2f} to {high:.2f}"
        measured = metrics.get("example_count") or math.inf
        chance = f"; on {measured:.0f} rows much of the error is chance" if measured < _FEW else ""
        yield f"calibration: error {error}, log loss {loss} ({kind}, fitted on {rows}){chance}"
    yield from fitted.get("notes") or ()
    if fitted.get("tuned"):
        yield f"task.threshold: {fitted['threshold']:g}, chosen on {rows}"
