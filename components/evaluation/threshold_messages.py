"""Sentences about metrics that miss, or may miss, their thresholds. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from components.evaluation.measurements import INTERVAL, LiveState, Measurements, Slice

OVERRIDE = "--set evaluation.replace_incomparable=true"
Interval = tuple[float, float] | None


def describe_rows(measured: Measurements, part: Slice, rows: int | None = None) -> str:
    """The rows of a metric: "on the 850 test rows", or on a slice. `rows`: the number of compared rows."""
    if part.column:
        return f"on slice {part.name} ({part.rows if rows is None else rows} rows)"
    if rows is None or rows == part.rows:
        return f"on the {part.rows} {measured.split} rows"
    return f"on the {rows} of {part.rows} {measured.split} rows that can be compared"


def out_of_bounds(metric: str, place: str, bound: str, limit: float, value: float) -> str:
    """A value below its minimum, or above its maximum."""
    relation = "below the minimum" if bound == "min" else "above the maximum"
    return f"{metric} {distinct(value, limit)} {place} is {relation} of {_exact(limit)} in evaluation.thresholds"


def worse(metric: str, place: str, limit: float, value: float, old: float, live: LiveState, interval: Interval) -> str:
    """A loss to the live model that is larger than its limit."""
    value_text, old_text = distinct(value, old), distinct(old, value)
    if limit < 0:
        missed = f"is not {_exact(-limit)} better than the {old_text} of the live model (version {live.version})"
        return f"{metric} {value_text} {place} {missed}{_describe_interval(interval)}"
    loss = distinct(abs(value - old), limit)
    return (
        f"{metric} {value_text} {place} is {loss} worse than the {old_text} of the live model "
        f"(version {live.version}), where {_exact(limit)} is allowed{_describe_interval(interval)}"
    )


def may_be_worse(metric: str, place: str, limit: float, interval: tuple[float, float]) -> str:
    """A loss that is within its limit, on rows that are too few to show that it is."""
    return (
        f"{metric} {place}: there are too few rows to tell whether its loss to the live model is within the allowed "
        f"{_exact(limit)}{_describe_interval(interval)}"
    )


def _describe_interval(interval: Interval) -> str:
    if interval is None:
        return ""
    return f" ({INTERVAL:.0%} interval of the loss: {interval[0]:.3f} to {interval[1]:.3f})"


def _exact(number: float) -> str:
    """A number from the configuration, with all its decimals and at least two."""
    return max(f"{number:.2f}", repr(number), key=len)


def distinct(number: float, other: float) -> str:
    """A measured number, with at least two decimals, and enough of them to differ from another number, which may be
    shown rounded in the same way or with all its decimals."""
    if number == other:
        return f"{number:.4f}"

    def differs(decimals: int) -> bool:
        shown, rounded = float(f"{number:.{decimals}f}"), float(f"{other:.{decimals}f}")
        return all(shown != value and (shown < value) == (number < other) for value in (other, rounded))

    return next((f"{number:.{decimals}f}" for decimals in range(2, 10) if differs(decimals)), str(number))
