"""The least quality that `transom init` suggests: above that of a constant answer, which has learned nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from pipeline.init.table_counts import TableCounts
from pipeline.init.table_words import percent, shorten
from tflite.host.prediction import TaskType

# Of the way from a constant answer to a perfect model, a model must have covered this share. Pairs are harder: models
# that are good for MRPC or STS-B have covered less of it.
_SHARE, _SHARE_OF_PAIRS = 1 / 3, 1 / 4
# If one label has at least this share of the rows, accuracy hardly tells models apart.
_UNEVEN = 0.75


def uneven_label(task: TaskType, counts: TableCounts) -> str:
    """The label that nearly all rows have, and its share: accuracy hardly tells models apart. "" if none has."""
    if task != "single_label" or len(counts.labels) < 2:
        return ""
    label, most = counts.labels.most_common(1)[0]
    share = most / counts.labels.total()
    return f"{shorten(label)!r} ({percent(share)} of the rows)" if share >= _UNEVEN else ""


def suggest_thresholds(task: TaskType, counts: TableCounts, *, pairs: bool) -> Iterator[str]:
    """Lines for `evaluation.thresholds`, each a metric, its limit, and in a comment what a constant answer has.

    Nothing if the rows do not tell: no rows, one label, or equal numbers.
    """
    share = _SHARE_OF_PAIRS if pairs else _SHARE
    if task == "regression":
        yield from _regression(counts, share)
    elif task == "multi_label":
        yield from _multi_label(counts.labels, counts.rows, share)
    else:
        yield from _single_label(counts.labels, share)


def _single_label(labels: Counter[str], share: float) -> Iterator[str]:
    if len(labels) < 2:
        return
    rows, (label, most) = labels.total(), labels.most_common(1)[0]
    always, accuracy = f"always answering {shorten(label)!r}", most / rows
    if accuracy >= _UNEVEN:
        # the constant answer's F1 is 2p / (1 + p) for its label, and 0 for the others
        macro_f1 = 2 * most / (rows + most) / len(labels)
        yield (
            f"macro_f1: {{min: {_above(macro_f1, share)}}}    # the mean of the labels' F1: {always} has "
            f"{_shown(macro_f1)}, and an accuracy of {_shown(accuracy)}"
        )
    else:
        yield f"accuracy: {{min: {_above(accuracy, share)}}}    # {always} has {_shown(accuracy)}"


def _multi_label(labels: Counter[str], rows: int, share: float) -> Iterator[str]:
    if not labels:
        return
    # always answering the k most frequent labels: 2 TP / (k rows + all labels of all rows), for the best k
    hits = accumulate(count for _, count in labels.most_common())
    best, number = max((2 * hit / (k * rows + labels.total()), k) for k, hit in enumerate(hits, 1))
    if best < 1:
        which = "label" if number == 1 else f"{number} labels"
        always = f"always answering the most frequent {which}"
        yield f"micro_f1: {{min: {_above(best, share)}}}    # {always} has {_shown(best)}"


def _regression(counts: TableCounts, share: float) -> Iterator[str]:
    if len(counts.numbers) < 2 or min(counts.numbers) == max(counts.numbers):
        return
    numbers = np.asarray(counts.numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = float(numbers.mean()), float(numbers.var())
    limit = _significant(variance * (1 - share))
    if math.isfinite(variance) and 0 < limit < variance:
        yield f"mse: {{max: {limit!r}}}    # always answering the mean, {mean:.4g}, has {variance:.4g}"
    yield f"spearman: {{min: {_above(0.0, share)}}}    # of the ranks: a constant answer has none, and does not pass"


def _above(constant: float, share: float) -> float:
    """The suggested minimum, with as many digits as it takes to be between the constant answer and 1."""
    suggested = constant + (1 - constant) * share
    return next((up for digits in range(2, 9) if (up := math.ceil(suggested * 10**digits) / 10**digits) < 1), suggested)


def _shown(share: float) -> str:
    """With three decimals, or as many more as keep it from being 0 or 1 where it is neither."""
    shown = (f"{share:.{digits}f}" for digits in range(3, 13))
    text = next((text for text in shown if float(text) not in (0.0, 1.0)), f"{share:g}")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _significant(number: float) -> float:
    """Rounded down to three digits."""
    if number <= 0 or not math.isfinite(number):
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.floor(number / scale) * scale:.3g}")
