"""Which rows are predicted right, how sure the model was of them, and what a threshold would change. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from components.evaluation.measurements import MODEL
from components.evaluation.metrics import CALIBRATION_BINS, UNKNOWN, UNLABELLED, confidence_bins
from components.predictions.stored_predictions import PredictedRows, PredictionFacts

_STEPS = 100
"""The thresholds of a curve: 0.00, 0.01 … 1.00."""
_POINTS = 400
"""The pairs of number and prediction that are kept for a plot."""


def rebuild_targets(
    facts: PredictionFacts, given: Sequence[tuple[str, ...]] | None, numbers: Sequence[float] | None
) -> np.ndarray:
    """What `components.evaluation.metrics` measures against: int [N], int [N, C + 1] or float [N]."""
    if given is None:
        return np.array(numbers, np.float64)
    index = {label: number for number, label in enumerate(facts.labels)}
    if facts.task == "single_label":
        return np.array([index.get(labels[0], UNKNOWN) if labels else UNLABELLED for labels in given], np.int64)
    targets = np.zeros((len(given), len(index) + 1), np.int64)
    for row, labels in enumerate(given):
        targets[row, [index.get(label, -1) for label in labels]] = 1
    return targets


def mcnemar(fixed: int, broken: int) -> float:
    """The probability that chance alone makes so uneven a difference between the rows that only one of two models gets
    right: the exact test of McNemar ("Note on the sampling error of the difference between correlated proportions or
    percentages", 1947)."""
    return float(stats.binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0


class RowOutcomes:
    """Counts over all rows."""

    def __init__(self, facts: PredictionFacts) -> None:
        self._facts = facts
        self._right: dict[str, list[np.ndarray]] = {}
        self._bins = np.zeros((3, CALIBRATION_BINS))
        self._curve = np.zeros((2, _STEPS + 1), np.int64)
        self._positive = ""
        self._points: list[tuple[float, float]] = []
        self._errors: list[np.ndarray] = []

    def add(self, rows: PredictedRows) -> dict[str, np.ndarray]:
        """Counts some rows; returns by source which are right: 1, 0, or -1 if the row or its prediction is absent."""
        targets = rebuild_targets(self._facts, rows.given, rows.numbers)
        if self._facts.task == "regression":
            self._add_numbers(targets, rows.scores[MODEL][:, 0])
            return {}
        right = {name: self._is_right(name, rows, targets) for name in rows.scores}
        for name, found in right.items():
            self._right.setdefault(name, []).append(found)
        scores = rows.scores[MODEL]
        usable = np.isfinite(scores).all(axis=1) & (targets != UNLABELLED if targets.ndim == 1 else True)
        (self._add_single if targets.ndim == 1 else self._add_several)(targets[usable], scores[usable])
        return right

    def _is_right(self, name: str, rows: PredictedRows, targets: np.ndarray) -> np.ndarray:
        """Whether the answer is exactly the row's labels. The live model's may be others: names are compared."""
        facts, scores = self._facts, rows.scores[name]
        labels = facts.labels_of(name)
        if facts.task == "multi_label":
            answers = scores >= np.float32(facts.threshold_of(name))
            sets = [frozenset(labels[place] for place in np.flatnonzero(answer)) for answer in answers]
            right = np.array([set(given) == answer for given, answer in zip(rows.given or (), sets, strict=True)])
            missing = np.zeros(len(right), bool)
        else:
            predicted = [labels[place] for place in np.nan_to_num(scores, nan=-1.0).argmax(axis=1)]
            right = np.array([given[:1] == (label,) for given, label in zip(rows.given or (), predicted, strict=True)])
            missing = targets == UNLABELLED
        unusable = missing | ~np.isfinite(scores).all(axis=1)
        return np.where(unusable, -1, right).astype(np.int8)

    def _add_single(self, targets: np.ndarray, scores: np.ndarray) -> None:
        if not len(targets):
            return
        predicted = scores.argmax(axis=1)
        self._add_bins(scores.max(axis=1), predicted == targets)
        if len(self._facts.labels) == 2:
            self._add_curve(scores[:, 1], targets == 1)

    def _add_several(self, targets: np.ndarray, scores: np.ndarray) -> None:
        has, answers = targets[:, :-1] == 1, scores >= np.float32(self._facts.threshold)
        self._add_bins(np.where(answers, scores, 1 - scores).ravel(), (has == answers).ravel())
        self._add_curve(scores.ravel(), has.ravel())

    def _add_bins(self, confidence: np.ndarray, right: np.ndarray) -> None:
        bins = confidence_bins(confidence)
        for row, weights in enumerate((None, confidence, right)):
            self._bins[row] += np.bincount(bins, weights, minlength=CALIBRATION_BINS)

    def _add_curve(self, scores: np.ndarray, positive: np.ndarray) -> None:
        """Rows by the highest threshold that they reach."""
        reached = np.clip(np.floor(scores.astype(np.float64) * _STEPS + 1e-6), 0, _STEPS).astype(np.int64)
        self._curve[0] += np.bincount(reached[positive], minlength=_STEPS + 1)
        self._curve[1] += np.bincount(reached[~positive], minlength=_STEPS + 1)

    def _add_numbers(self, numbers: np.ndarray, predicted: np.ndarray) -> None:
        usable = np.isfinite(numbers) & np.isfinite(predicted)
        pairs = list(zip(numbers[usable].tolist(), predicted[usable].tolist(), strict=True))
        self._points += pairs[: max(0, _POINTS - len(self._points))]
        self._errors.append(predicted[usable] - numbers[usable])

    def changes(self, other: str) -> dict[str, Any]:
        """How many rows the model gets right and the other does not, and the reverse, with `mcnemar`."""
        if other not in self._right:
            return {}
        own, theirs = np.concatenate(self._right[MODEL]), np.concatenate(self._right[other])
        both = (own >= 0) & (theirs >= 0)
        fixed, broken = (int(((own == one) & (theirs == 1 - one) & both).sum()) for one in (1, 0))
        return {
            "fixed": fixed,
            "broken": broken,
            "both_right": int(((own == 1) & (theirs == 1)).sum()),
            "both_wrong": int(((own == 0) & (theirs == 0) & both).sum()),
            "chance": mcnemar(fixed, broken),
        }

    def summarize(self) -> dict[str, Any]:
        """As JSON values: right and wrong rows, calibration, the threshold's curve; for numbers, the errors."""
        if self._facts.task == "regression":
            errors = np.concatenate([np.zeros(0), *self._errors])
            quantiles = np.quantile(errors, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist() if len(errors) else []
            return {"points": [list(pair) for pair in self._points], "error_quantiles": quantiles}
        right = np.concatenate([np.zeros(0, np.int8), *self._right.get(MODEL, [])])
        return {
            "right": int((right == 1).sum()),
            "wrong": int((right == 0).sum()),
            "calibration": self._calibration(),
            "thresholds": self._thresholds(),
        }

    def _calibration(self) -> list[dict[str, float]]:
        rows, confidence, right = self._bins
        return [
            {
                "rows": int(rows[place]),
                "confidence": confidence[place] / rows[place],
                "right": right[place] / rows[place],
            }
            for place in np.flatnonzero(rows)
        ]

    def _thresholds(self) -> Mapping[str, Any] | None:
        """Precision, recall and F1 at each threshold: of the second of two labels, or over all labels together."""
        positive, negative = self._curve
        if not positive.sum():
            return None
        hits, false = (np.cumsum(part[::-1])[::-1] for part in (positive, negative))
        precision = np.divide(hits, hits + false, out=np.full(len(hits), np.nan), where=hits + false > 0)
        recall = hits / positive.sum()
        f1 = 2 * hits / (hits + false + positive.sum())
        label = self._facts.labels[1] if self._facts.task == "single_label" else ""
        values = {"precision": precision, "recall": recall, "f1": f1}
        return {
            "label": label,
            "threshold": 0.5 if label else self._facts.threshold,
            "thresholds": [step / _STEPS for step in range(_STEPS + 1)],
            **{name: [None if np.isnan(value) else float(value) for value in part] for name, part in values.items()},
        }
