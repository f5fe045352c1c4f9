"""How far chance alone moves the difference of two models: the paired bootstrap.

The same rows, drawn with replacement as often as there are rows, are given to both models; the spread of the
difference over many such draws is what other rows of the same kind would have made of it (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapters 8 and 13; for paired systems Koehn, "Statistical Significance Tests for
Machine Translation Evaluation", 2004). A draw is a row of counts, so that every metric is computed for many draws at
once from weighted rows, without taking a row apart.

The draws are seeded, and the rows are put into an order that depends on their content alone: the same rows give the
same interval, however they were read. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from components.evaluation.measurements import INTERVAL
from components.evaluation.weighted_metrics import Weighted

RESAMPLES = 1000
MOST_UNDEFINED = 0.1
"""Share of draws in which a figure may be undefined (no row of a label was drawn) before its interval is left out."""
FEWEST_ROWS = 20
"""Rows below which there is no interval: draws of so few rows are too much alike to show what chance can do."""
_SEED = 20_031
_CELLS = 2**19
"""Most numbers of one array: draws are made in blocks of so many rows' counts."""


def loss_intervals(
    metrics: Iterable[str],
    candidate: Mapping[str, Weighted],
    live: Mapping[str, Weighted],
    higher_is_better: Callable[[str], bool],
    order: np.ndarray,
) -> dict[str, tuple[float, float]]:
    """The intervals of the candidate's loss to the live model.

    Args:
        metrics: which of the metrics.
        candidate, live: metric to what computes it from counts of the rows.
        higher_is_better: of a metric.
        order: int [N], the rows in an order that depends on their content alone.

    Returns:
        Metric to the lower and the upper bound of its loss. There is none for fewer than `FEWEST_ROWS` rows, and none
        of a metric that too few draws define.
    """
    wanted = [name for name in metrics if name in candidate and name in live]
    rows = len(order)
    if not wanted or rows < FEWEST_ROWS:
        return {}
    losses: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for draw in _draws(order):
        for name in wanted:
            loss = live[name](draw) - candidate[name](draw)
            losses[name].append(loss if higher_is_better(name) else -loss)
    found = ((name, _bounds(np.concatenate(parts))) for name, parts in losses.items())
    return {name: bounds for name, bounds in found if bounds is not None}


def _draws(order: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of draws, float64 [N, D]: how often each row stands in each of D draws."""
    rng, rows = np.random.default_rng(_SEED), len(order)
    block = max(1, min(RESAMPLES, _CELLS // rows))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        places = order[rng.integers(0, rows, (rows, size))] * size + np.arange(size)
        yield np.bincount(places.ravel(), minlength=size * rows).reshape(rows, size).astype(np.float64)


def _bounds(losses: np.ndarray) -> tuple[float, float] | None:
    defined = losses[np.isfinite(losses)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(losses):
        return None
    low, high = np.quantile(defined, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)
