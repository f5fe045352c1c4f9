"""The best answer that does not depend on the text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SHOWN = 3


@dataclass(frozen=True)
class TrivialAnswer:
    """The same answer for every row.

    Attributes:
        words: what it answers, for sentences: "always 'ham'".
        prediction: the shares of the labels among the training rows, float32 [C]; or their mean, float32 [1].
        threshold: for many labels per row, the share from which a label is in the answer.
    """

    words: str
    prediction: np.ndarray
    threshold: float = 0.5


def most_frequent(labels: Sequence[str], counts: Counter[str], rows: int, elsewhere: Counter[str]) -> TrivialAnswer:
    """The most frequent label, which has the highest accuracy that a constant can have.

    Of labels that are as frequent, as in a table with a few rows of each, it is the one that other splits have most
    often: a model must be better than the best of these answers.
    """
    shares = _shares(labels, counts, rows)
    tied = np.flatnonzero(shares == shares.max())
    best = max(tied, key=lambda index: elsewhere[labels[index]])
    words = f"always {labels[best]!r}"
    if len(tied) > 1:
        shares[best] = np.nextafter(shares[best], np.float32(np.inf))  # so that it alone is the highest
        words += f", one of {len(tied)} labels that training has most often"
    return TrivialAnswer(words, shares)


def best_set(labels: Sequence[str], counts: Counter[str], rows: int) -> TrivialAnswer:
    """The set of labels that has the highest micro-F1 on the training rows if every row gets it.

    For any size, the best set has the most frequent labels. Only those that half of the rows have would often be none,
    and the F1 of that is 0.
    """
    shares = _shares(labels, counts, rows)
    order = np.argsort(-shares, kind="stable")
    sizes = np.arange(1, len(labels) + 1)
    best = int(np.argmax(2 * np.cumsum(shares[order]) / (sizes + shares.sum()))) + 1
    threshold = float(shares[order[best - 1]])
    names = [repr(labels[index]) for index in np.flatnonzero(shares >= np.float32(threshold))]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return TrivialAnswer(f"always {', '.join(names[:_SHOWN])}{more}", shares, threshold)


def mean(total: float, rows: int) -> TrivialAnswer:
    """The mean of the training targets, which has the lowest mean squared error that a constant can have."""
    value = total / rows
    digits = 4 - math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 2
    return TrivialAnswer(f"always the mean, {round(value, max(0, digits)):g}", np.array([value], np.float32))


def _shares(labels: Sequence[str], counts: Counter[str], rows: int) -> np.ndarray:
    return np.array([counts[label] for label in labels], np.float32) / np.float32(rows)
