"""The sentences about figures that miss, or may miss, what is asked of them. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from components.evaluation.measurements import INTERVAL, LiveState, Measurements, Slice

OVERRIDE = "--set evaluation.replace_incomparable=true"
Interval = tuple[float, float] | None


def where(measured: Measurements, part: Slice, rows: int | None = None) -> str:
    """Where a figure was measured: "on the 850 test rows", or on a slice. `rows`: those that could be compared."""
    if part.column:
        return f"on slice {part.name} ({part.rows if rows is None else rows} rows)"
    if rows is None or rows == part.rows:
        return f"on the {part.rows} {measured.split} rows"
    return f"on the {rows} of {part.rows} {measured.split} rows that can be compared"


def outside(metric: str, place: str, bound: str, limit: float, value: float) -> str:
    """A value below its minimum, or above its maximum."""
    relation = "below" if bound == "min" else "above"
    asked = _exactly(limit)
    return f"{metric} {_apart(value, limit)} {place} is {relation} the {asked} that evaluation.thresholds asks for"


def undefined(metric: str, place: str, bound: str) -> str:
    """A value that cannot be computed."""
    return f"{metric} {place} cannot be computed, so its {bound} cannot be judged"


def not_finite(rows: int, place: str) -> str:
    """Answers that are no numbers."""
    return f"{rows} of the answers {place} are NaN or infinite, so nothing measured of the model counts"


def worse(metric: str, place: str, limit: float, value: float, old: float, live: LiveState, found: Interval) -> str:
    """A loss to the live model that is beyond its limit."""
    new, former = _apart(value, old), _apart(old, value)
    if limit < 0:
        asked = f"is not {_exactly(-limit)} better than the {former} of the live model (version {live.version})"
        return f"{metric} {new} {place} {asked}{_spread(found)}"
    loss = _apart(abs(value - old), limit)
    return (
        f"{metric} {new} {place} is {loss} worse than the {former} of the live model (version {live.version}), "
        f"where {_exactly(limit)} is allowed{_spread(found)}"
    )


def by_chance(complaint: str) -> str:
    """A loss that may be chance."""
    return f"{complaint}: chance explains as much on so few rows, so it passes; more rows would tell"


def may_be_worse(metric: str, place: str, limit: float, found: tuple[float, float]) -> str:
    """A loss that is within its limit, on rows that cannot show that it is."""
    return (
        f"{metric} {place}: the rows are too few to tell whether its loss to the live model is within the "
        f"{_exactly(limit)} that is allowed{_spread(found)}"
    )


def incomparable(metric: str, place: str, live: LiveState, why: str) -> str:
    """A figure that cannot be compared with the live model's."""
    return f"{metric} {place} cannot be compared with the live model (version {live.version}): {why}"


def _spread(found: Interval) -> str:
    return "" if found is None else f" ({INTERVAL:.0%} interval of the loss: {found[0]:.3f} to {found[1]:.3f})"


def _exactly(number: float) -> str:
    """A number from the configuration, with all its decimals and at least two."""
    return max(f"{number:.2f}", repr(number), key=len)


def _apart(number: float, other: float) -> str:
    """A measured number, with at least two decimals and as many as tell it apart from another."""
    texts = (f"{number:.{decimals}f}" for decimals in range(2, 10))
    return next(
        (text for text in texts if (float(text) < other) == (number < other) and float(text) != other), str(number)
    )
