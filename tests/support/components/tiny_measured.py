"""Builders of measurements for tests."""

from __future__ import annotations

from typing import Any

from components.evaluation.measurements import Comparison, LiveState, Measurements, Slice


def part(column: str, value: str, rows: int, live: dict[str, float] | None = None, **metrics: float) -> Slice:
    figures = {"example_count": float(rows), **metrics}
    compared = None if live is None else Comparison(figures, {"example_count": float(rows), **live})
    return Slice(column, value, figures, compared)


def measured(whole: Slice, *slices: Slice, task: Any = "single_label", live: Any = None, **more: Any) -> Measurements:
    state = LiveState(17) if live is None else live
    return Measurements(task=task, split="test", labels=("neg", "pos"), whole=whole, slices=slices, live=state, **more)


def shared(of: int, rows: int, accuracy: float, live: float, low: float, high: float, column: str = "") -> Slice:
    """A slice of which some rows were compared, and the interval of the loss there."""
    own, other = {"example_count": rows, "accuracy": accuracy}, {"example_count": rows, "accuracy": live}
    compared = Comparison(own, other, {"accuracy": (low, high)})
    return Slice(column, column and "x", {"example_count": of, "accuracy": 0.9}, compared)
