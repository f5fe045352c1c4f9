"""How much of the difference between two models is chance: the paired bootstrap.

A draw takes as many rows as there are, with replacement, and measures both models on them. The spread of the difference
over many draws estimates how it would vary with other rows of the same kind (Efron and Tibshirani, "An Introduction to
the Bootstrap", 1993, chapters 8 and 13; for paired systems Koehn, "Statistical Significance Tests for Machine
Translation Evaluation", 2004). A draw is stored as the rows' counts, so that every metric is computed for many draws at
once from weighted rows.

The draws are seeded, and the rows are sorted by their content: the same rows give the same interval in whatever order
they were read. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from components.evaluation.measurements import FEWEST_ROWS, INTERVAL
from components.evaluation.weighted_metrics import WeightedMetric

RESAMPLES = 1000
MOST_UNDEFINED = 0.1
"""A metric that is undefined in a larger share of the draws (no row of a label was drawn) has no interval."""
_SEED = 20_031
_CELLS = 2**19
"""The largest size of an array of counts: the draws are made in blocks."""


def loss_intervals(
    metrics: Iterable[str],
    candidate: Mapping[str, WeightedMetric],
    live: Mapping[str, WeightedMetric],
    higher_is_better: Callable[[str], bool],
    order: np.ndarray,
    share: float = INTERVAL,
    draws: int = RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """The intervals of the candidate's loss to the live model.

    Args:
        metrics: the metrics to compute intervals for.
        candidate, live: metric to the function that computes it from the rows' counts.
        higher_is_better: by metric.
        order: int [N], the rows sorted by their content.
        share: of the draws, between the bounds.
        draws: their number.

    Returns:
        Metric to the lower and upper bound of its loss. Empty for fewer than `FEWEST_ROWS` rows; without the metrics
        that too few draws define.
    """
    wanted = [name for name in metrics if name in candidate and name in live]
    rows = len(order)
    if not wanted or rows < FEWEST_ROWS:
        return {}
    losses: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for draw in _draws(order, draws):
        for name in wanted:
            loss = live[name](draw) - candidate[name](draw)
            losses[name].append(loss if higher_is_better(name) else -loss)
    return _intervals(losses, share)


def value_intervals(
    measured: Mapping[str, WeightedMetric], order: np.ndarray, share: float = INTERVAL, draws: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """The intervals of a model's own metrics; for the arguments and what is left out see `loss_intervals`."""
    if not measured or len(order) < FEWEST_ROWS:
        return {}
    values: dict[str, list[np.ndarray]] = {name: [] for name in measured}
    for draw in _draws(order, draws):
        for name, metric in measured.items():
            values[name].append(metric(draw))
    return _intervals(values, share)


def _intervals(values: Mapping[str, list[np.ndarray]], share: float) -> dict[str, tuple[float, float]]:
    found = ((name, _bounds(np.concatenate(parts), share)) for name, parts in values.items())
    return {name: bounds for name, bounds in found if bounds is not None}


def _draws(order: np.ndarray, draws: int) -> Iterator[np.ndarray]:
    """Blocks of D draws, float64 [N, D]: how often each row occurs in each draw."""
    rng, rows = np.random.default_rng(_SEED), len(order)
    block = max(1, min(draws, _CELLS // rows))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        places = order[rng.integers(0, rows, (rows, size))] * size + np.arange(size)
        yield np.bincount(places.ravel(), minlength=size * rows).reshape(rows, size).astype(np.float64)


def _bounds(values: np.ndarray, share: float) -> tuple[float, float] | None:
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(values):
        return None
    low, high = np.quantile(defined, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
