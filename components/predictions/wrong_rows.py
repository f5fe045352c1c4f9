"""The rows that a model gets wrong, the surest mistakes first, and what speaks for the label or against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation.measurements import LINEAR, LIVE, MODEL
from components.predictions.stored_predictions import PredictedRows, PredictionFacts

MOST_LISTED = 24
_MOST_CONFUSED, _SHOWN_CHARACTERS, _SHOWN_COLUMNS = 20, 1200, 8
SUSPECT, MODELS_FAULT, HARD = "label", "model", "hard"
"""What is at fault: probably the label; the model, for a linear model is right; neither is clear."""


def answer(facts: PredictionFacts, source: str, scores: np.ndarray) -> tuple[str, ...]:
    """The labels that a source answers with, from its scores [C] of a row."""
    labels = facts.labels_of(source)
    if facts.task == "multi_label":
        return tuple(labels[place] for place in np.flatnonzero(scores >= np.float32(facts.threshold_of(source))))
    return (labels[int(scores.argmax())],) if np.isfinite(scores).all() else ()


def wrongness(facts: PredictionFacts, given: Sequence[str], scores: np.ndarray) -> float:
    """How sure a model is of its mistake in a row, from 0 to 1.

    With one label per row, the score of its answer; with several, the highest score of a wrong label, or 1 minus the
    lowest of a missing one.
    """
    if facts.task == "single_label":
        return float(scores.max())
    has = np.isin(np.array(facts.labels), np.array(list(given)))
    answers = scores >= np.float32(facts.threshold)
    return float(np.where(has, 1 - scores, scores)[has != answers].max(initial=0.0))


class WrongRows:
    """Keeps the surest mistakes.

    Args:
        facts: of the predictions.
        label_errors: the likely label errors of the split, with `key` and `suggested`.
    """

    def __init__(self, facts: PredictionFacts, label_errors: Sequence[Mapping[str, Any]]) -> None:
        self._facts = facts
        self._suspects = {error["key"]: tuple(error["suggested"]) for error in label_errors}
        self._listed: list[tuple[float, int, dict[str, Any]]] = []
        self._confused: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._read = 0

    def add(self, rows: PredictedRows, right: Mapping[str, np.ndarray]) -> None:
        """Looks at some rows. `right`: what `RowOutcomes.add` gave for them."""
        if rows.numbers is not None:
            errors = np.abs(rows.scores[MODEL][:, 0] - np.array(rows.numbers, np.float64))
            found = [(float(errors[row]), int(row)) for row in np.flatnonzero(np.isfinite(errors))]
        else:
            given, scores = rows.given or [], rows.scores[MODEL]
            wrong = np.flatnonzero(right[MODEL] == 0).tolist()
            found = [(wrongness(self._facts, given[row], scores[row]), row) for row in wrong]
            for row in wrong:
                self._count(row, rows, right)
        for strength, row in sorted(found, key=lambda pair: (-pair[0], pair[1]))[:MOST_LISTED]:
            self._listed.append((strength, self._read + row, self._describe(row, rows, right, strength)))
        self._listed = sorted(self._listed, key=lambda one: (-one[0], one[1]))[:MOST_LISTED]
        self._read += len(rows)

    def _count(self, row: int, rows: PredictedRows, right: Mapping[str, np.ndarray]) -> None:
        self._faults[self._fault(row, rows, right)] += 1
        if self._facts.task == "single_label" and rows.given is not None:
            [answered] = answer(self._facts, MODEL, rows.scores[MODEL][row])
            self._confused[rows.given[row][0], answered] += 1

    def _fault(self, row: int, rows: PredictedRows, right: Mapping[str, np.ndarray]) -> str:
        if rows.keys[row] in self._suspects:
            return SUSPECT
        if LINEAR in right and right[LINEAR][row] == 1:
            return MODELS_FAULT
        return HARD

    def _describe(
        self, row: int, rows: PredictedRows, right: Mapping[str, np.ndarray], strength: float
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "row": self._read + row,
            "key": rows.keys[row],
            "text": rows.texts[row][:_SHOWN_CHARACTERS],
            "text_pair": None if rows.pairs is None else rows.pairs[row][:_SHOWN_CHARACTERS],
            "columns": dict(list(rows.others[row].items())[:_SHOWN_COLUMNS]),
        }
        if rows.numbers is not None:
            return found | {"number": rows.numbers[row], "predicted": float(rows.scores[MODEL][row, 0])}
        facts, given = self._facts, list((rows.given or [])[row])
        scores = dict(zip(facts.labels, rows.scores[MODEL][row].tolist(), strict=True))
        answers = {
            name: list(answer(facts, name, rows.scores[name][row])) for name in (LIVE, LINEAR) if name in rows.scores
        }
        return found | {
            "given": given,
            "answer": list(answer(facts, MODEL, rows.scores[MODEL][row])),
            "wrongness": strength,
            "scores": {label: scores[label] for label in sorted(scores, key=lambda one: -scores[one])[:3]}
            | {label: scores[label] for label in given if label in scores},
            "others": answers,
            "fault": self._fault(row, rows, right),
            "suggested": list(self._suspects.get(rows.keys[row], ())),
        }

    def summarize(self) -> dict[str, Any]:
        """As JSON values: the surest mistakes, the labels confused most often, and how many rows have which fault."""
        return {
            "listed": [described for _, _, described in self._listed],
            "confused": [[*pair, rows] for pair, rows in self._confused.most_common(_MOST_CONFUSED)],
            "faults": dict(self._faults),
        }
