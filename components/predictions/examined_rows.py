"""What the rows of an evaluation tell beyond its metrics, for the report: how certain the metrics are, which rows are
wrong, whether the scores can be trusted. It reads the stored predictions once, and writes a JSON file of limited size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluation.comparison import Baseline, compare, own_intervals
from components.evaluation.measurements import LINEAR, LIVE, MODEL, Comparison
from components.evaluation.thresholds import METRICS, direction
from components.predictions.row_outcomes import RowOutcomes, rebuild_targets
from components.predictions.stored_predictions import ALL_LABELS, PredictionFacts, StoredPredictions
from components.predictions.wrong_rows import WrongRows
from components.report_files import ROWS_FILE
from models.config import TaskConfig
from tflite.host.json_text import to_json
from tflite.host.prediction import TaskType

SHARE = 0.95
"""Of the bootstrap's draws, between the bounds of an interval."""
# So that it takes a few seconds, however many rows there are.
_MOST_ROWS, _MOST_CELLS = 50_000, 2**24
_DRAWS, _FEWEST_DRAWS, _DRAWN_ROWS = 1000, 100, 5_000_000
_HEADLINES = {
    "single_label": ("accuracy", "macro_f1", "auc", "log_loss"),
    "multi_label": ("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy"),
    "regression": ("mse", "mae", "pearson", "spearman"),
}
"""The metrics that get intervals."""
_BY_RANK = {"auc", "mean_average_precision"}
_MOST_RANKED = 8
"""With more labels those are left out: each label of each draw is ranked, which takes minutes."""


def interval_metrics(facts: PredictionFacts) -> list[str]:
    """The metrics that get intervals, for these labels: of more than `ALL_LABELS`, those that need only the highest
    scores."""
    left_out = {*_BY_RANK} if len(facts.labels) > _MOST_RANKED else set[str]()
    left_out |= {"log_loss"} if len(facts.labels) > ALL_LABELS else set()
    return [name for name in _HEADLINES[facts.task] if name in METRICS[facts.task] and name not in left_out]


def examine(predictions: StoredPredictions, label_errors: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Examines all rows.

    Args:
        predictions: of an evaluated split.
        label_errors: the likely label errors of this split, as `label_errors.summarize_label_errors` lists them.

    Returns:
        JSON values: `rows`, `intervals`, `against` (by other model), `outcomes`, `wrong`.
    """
    facts, sources = predictions.facts, predictions.sources
    outcomes, wrong = RowOutcomes(facts), WrongRows(facts, label_errors)
    measured = _MeasuredPart(predictions)
    for batch in predictions.batches():
        right = outcomes.add(batch)
        wrong.add(batch, right)
        measured.add(batch.given, batch.numbers, batch.scores)
    intervals, against = measured.intervals(sources)
    return {
        "rows": predictions.rows,
        "share": SHARE,
        "measured_rows": measured.rows,
        "intervals": intervals,
        "against": {name: {**outcomes.changes(name), **against.get(name, {})} for name in sources if name != MODEL},
        "outcomes": outcomes.summarize(),
        "wrong": wrong.summarize(),
    }


def save_examined(examined: Mapping[str, Any], folder: Path | str) -> None:
    """Writes `rows.json`."""
    Path(folder, ROWS_FILE).write_text(to_json(examined, indent=1) + "\n", encoding="utf-8")


def load_examined(folder: Path | str) -> dict[str, Any]:
    """Reads what `save_examined` wrote; empty if there is none, as in an evaluation of an earlier version."""
    file = Path(folder, ROWS_FILE)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


class _MeasuredPart:
    """Targets and scores of the rows that get intervals: the first `_MOST_ROWS`, or as many as fit in memory."""

    def __init__(self, predictions: StoredPredictions) -> None:
        self._facts, columns = predictions.facts, max(1, len(predictions.facts.labels))
        # Scores that were not kept would be taken for 0.
        self._most = 0 if columns > ALL_LABELS else min(_MOST_ROWS, _MOST_CELLS // columns)
        self._targets: list[np.ndarray] = []
        self._scores: dict[str, list[np.ndarray]] = {name: [] for name in predictions.sources}
        self.rows = 0

    def add(
        self,
        given: Sequence[tuple[str, ...]] | None,
        numbers: Sequence[float] | None,
        scores: Mapping[str, np.ndarray],
    ) -> None:
        taken = min(self._most - self.rows, len(next(iter(scores.values()))))
        if taken <= 0:
            return
        self._targets.append(rebuild_targets(self._facts, given, numbers)[:taken])
        for name, values in scores.items():
            self._scores[name].append(values[:taken])
        self.rows += taken

    def intervals(self, sources: Sequence[str]) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
        """The intervals of the model's metrics; and by other model the comparison with it."""
        if not self.rows:
            return {}, {}
        facts = self._facts
        task = TaskConfig(type=facts.task, threshold=facts.threshold)
        names = interval_metrics(facts)
        draws = max(_FEWEST_DRAWS, min(_DRAWS, _DRAWN_ROWS // self.rows))
        targets = np.concatenate(self._targets)
        scores = {name: np.concatenate(parts) for name, parts in self._scores.items()}
        own = own_intervals(task, facts.labels, targets, scores[MODEL], names, SHARE, draws)
        against = {}
        for name in (LIVE, LINEAR):
            if name in sources:
                rows = np.flatnonzero(np.isfinite(scores[name]).all(axis=1))
                other = Baseline(facts.labels_of(name), facts.threshold_of(name))
                given = targets[rows], scores[MODEL][rows], scores[name][rows]
                against[name] = _plain(
                    compare(task, facts.labels, other, *given, names, SHARE, draws), names, facts.task
                )
        return {name: list(bounds) for name, bounds in own.items()}, against


def _difference(comparison: Comparison, name: str, task: TaskType) -> list[float] | None:
    """The interval of the model's value minus the other's."""
    if name not in comparison.losses:
        return None
    low, high = comparison.losses[name]
    return [-high, -low] if direction(task, name) == "higher" else [low, high]


def _plain(comparison: Comparison, names: Sequence[str], task: TaskType) -> dict[str, Any]:
    """By metric: the model's value, the other's, and the interval of their difference."""
    return {
        "compared_rows": comparison.rows,
        "metrics": {
            name: {
                "model": comparison.candidate.get(name),
                "other": comparison.live.get(name),
                "difference": _difference(comparison, name, task),
            }
            for name in names
        },
    }
