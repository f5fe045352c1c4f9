"""The threshold of a task with several labels per row that gives the highest F1. No TensorFlow."""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 1e-6, 1 - 1e-6
"""The limits of `task.threshold`."""


def best_threshold(probabilities: np.ndarray, true: np.ndarray, *, macro: bool) -> float:
    """One threshold for all labels: the middle of the widest interval in which the F1 of these rows is highest.

    A label is predicted if its probability is at least the threshold, so the F1 changes only at the probabilities that
    occur, and any threshold between two of them is as good. The middle is the farthest from both.

    Args:
        probabilities: [N, C] float32.
        true: [N, C] bool; at least one cell is true.
        macro: the mean F1 of the labels that occur, as truth or as prediction, instead of the F1 of all of them.
    """
    cells, columns = probabilities.ravel(), np.tile(np.arange(probabilities.shape[1]), len(probabilities))
    order = np.argsort(-cells, kind="stable")
    cells, hits, columns = cells[order].astype(np.float64), true.ravel()[order], columns[order]
    scores = _macro_f1(hits, columns, true) if macro else _micro_f1(hits)
    # scores[k]: with the first k + 1 cells predicted. Cells of one probability are predicted together or not at all.
    ends = np.flatnonzero(np.r_[cells[1:] < cells[:-1], True])
    ends = ends[cells[ends] > LOWEST]  # no threshold is lower than that
    if not len(ends):
        return LOWEST
    below = np.r_[cells, 0.0][ends + 1]
    best = scores[ends] >= scores[ends].max() - 1e-12
    starts = np.flatnonzero(best & ~np.r_[False, best[:-1]])
    stops = np.flatnonzero(best & ~np.r_[best[1:], False])
    widest = int(np.argmax(cells[ends[starts]] - below[stops]))
    high, low = cells[ends[starts[widest]]], below[stops[widest]]
    middle = (high + low) / 2
    rounded = round(middle, 4)
    return float(np.clip(rounded if low < rounded <= high else middle, LOWEST, HIGHEST))


def _micro_f1(hits: np.ndarray) -> np.ndarray:
    """F1 with the first 1, 2, ... cells predicted: hits [M] bool, whether each is true."""
    found: np.ndarray = 2 * np.cumsum(hits) / (np.arange(1, len(hits) + 1) + hits.sum())
    return found


def _macro_f1(hits: np.ndarray, columns: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The same for the mean over the labels: `columns` [M] is the label of each cell."""
    places = np.argsort(columns, kind="stable").reshape(true.shape[::-1])  # [C, N]: each label's cells, in their order
    counts = true.sum(axis=0)
    f1 = 2 * np.cumsum(hits[places], axis=1) / (np.arange(1, len(true) + 1) + counts[:, None])
    gains, appears = np.zeros(len(hits)), np.zeros(len(hits))
    gains[places] = np.diff(f1, axis=1, prepend=0.0)
    appears[places[counts == 0, 0]] = 1  # the F1 of such a label stays 0, but it counts from its first prediction
    found: np.ndarray = np.cumsum(gains) / (np.cumsum(appears) + true.any(axis=0).sum())
    return found
