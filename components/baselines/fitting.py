"""Fits both baselines to the training rows of a project and predicts the rows of its other splits."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from components.baselines import trivial_answer
from components.baselines.label_errors import FEWEST_ROWS, MOST_SUSPECTS, find_suspects, save_suspects
from components.baselines.linear_baseline import LinearBaseline
from components.baselines.stored_baselines import Baselines, LinearFit, Predictions
from components.baselines.text_rows import TextRows, record_key, sample
from components.baselines.text_vectors import NothingToCountError
from components.baselines.trivial_answer import TrivialAnswer
from components.data.rows import Record
from models import shared_metrics
from models.config import TaskConfig
from models.errors import DataError

PROGRESS_LOG = logging.getLogger("transom.progress")
MOST_ROWS = {"train": 20_000, "eval": 5_000, "test": 20_000}
MOST_CHARACTERS = {"train": 5_000_000, "eval": 1_000_000, "test": 5_000_000}
"""Samples of this size take seconds; a linear model hardly gains from more rows."""
_MOST_TARGETS = 1_500_000
"""The most training rows times labels."""
_THRESHOLDS = np.arange(1, 20, dtype=np.float32) / 20

Read = Callable[[str], Iterable[Record]]
"""Reads the records of a split."""


def fit_baselines(task: TaskConfig, splits: Iterable[str], read: Read, folder: Path, *, linear: bool) -> Baselines:
    """Fits the baselines to the training rows, predicts the other splits, and writes both into a folder.

    Args:
        task: the configured task.
        splits: the names of all splits.
        read: reads one of them.
        folder: an existing folder.
        linear: whether to fit the linear model too.

    Raises:
        DataError: no training row has a label.
    """
    begin = time.monotonic()
    train = _TrainingRows(task)
    rows = sample(train.read(read("train")), MOST_ROWS["train"], MOST_CHARACTERS["train"])
    if not rows or (task.type != "regression" and not train.labels()):
        raise DataError("the train split", got="no row with a label", expected="rows to train on")
    labels, others = train.labels(), [split for split in splits if split != "train"]
    counts = dict.fromkeys(others, 0)
    sampled = {
        split: sample(_counted(read(split), split, counts), MOST_ROWS[split], MOST_CHARACTERS[split])
        for split in others
    }
    fitted = None
    if linear:
        fitted = _fit_linear(task, labels, rows[: max(1, _MOST_TARGETS // (len(labels) or 1))], sampled, folder)
        fitted = replace(fitted, seconds=round(time.monotonic() - begin, 1))
    elsewhere = Counter(label for records in sampled.values() for record in records for label in record.labels)
    baselines = Baselines(labels, train.rows, counts, train.trivial(elsewhere), fitted)
    baselines.save(folder)
    return baselines


def _counted(records: Iterable[Record], split: str, counts: dict[str, int]) -> Iterator[Record]:
    for record in records:
        counts[split] += 1
        yield record


class _TrainingRows:
    """Counts the training rows that have a target while they are read. `rows`: their number."""

    def __init__(self, task: TaskConfig) -> None:
        self._task, self.rows = task, 0
        self._counts: Counter[str] = Counter()
        self._total = 0.0

    def read(self, records: Iterable[Record]) -> Iterator[Record]:
        """The rows on which the Trainer trains too: without those whose label `task.labels` leaves out."""
        for record in records:
            known = self._task.labels or record.labels
            if self._task.type == "single_label" and not set(record.labels) & set(known):
                continue
            self._counts.update(record.labels)
            self._total += record.number or 0.0
            self.rows += 1
            yield record

    def labels(self) -> tuple[str, ...]:
        """The labels of the task: those of `task.labels`, or those that were read."""
        return self._task.labels or tuple(sorted(self._counts))

    def trivial(self, elsewhere: Counter[str]) -> TrivialAnswer:
        """The best constant answer; `elsewhere`: how often the labels occur in other splits."""
        if self._task.type == "regression":
            return trivial_answer.mean(self._total, self.rows)
        if self._task.type == "multi_label":
            return trivial_answer.best_set(self.labels(), self._counts, self.rows)
        return trivial_answer.most_frequent(self.labels(), self._counts, self.rows, elsewhere)


def _fit_linear(
    task: TaskConfig,
    labels: tuple[str, ...],
    rows: Sequence[Record],
    others: dict[str, list[Record]],
    folder: Path,
) -> LinearFit:
    PROGRESS_LOG.info("fitting a linear model to %d rows", len(rows))
    targets = _targets(task, labels, rows)
    if (targets == targets[:1]).all():
        what = "target" if task.type == "regression" else "label" if task.type == "single_label" else "labels"
        return LinearFit(f"all {len(rows)} training rows have the same {what}")
    try:
        model = LinearBaseline(task.type, len(labels), TextRows.of(rows), targets)
    except NothingToCountError:
        return LinearFit(f"all {len(rows)} training texts are empty or only white space")
    chosen = others.get("eval", [])
    score = _Score(task, _targets(task, labels, chosen))
    model.choose_penalty(TextRows.of(chosen), score)
    suspects = {}
    if task.type != "regression" and len(rows) >= FEWEST_ROWS:
        found = model.cross_validated(_folds(rows))
        suspects["train"] = [error for error in find_suspects("train", rows, labels, targets, found) if error.likely]
    for split, records in others.items():
        if records:
            predictions = model.predict(TextRows.of(records))
            keys = np.array([record_key(record) for record in records], np.uint64)
            Predictions.of(keys, predictions).save(folder, split)
            if task.type != "regression":
                known = _targets(task, labels, records)
                suspects[split] = find_suspects(split, records, labels, known, predictions)[:MOST_SUSPECTS]
            score.threshold = score.best_threshold(predictions) if records is chosen else score.threshold
    save_suspects(suspects, folder)
    return LinearFit("", len(rows), model.features.shape[1], model.penalty, score.threshold)


def _targets(task: TaskConfig, labels: Sequence[str], records: Sequence[Record]) -> np.ndarray:
    """As `LinearBaseline` takes them; -1 for a label that training does not know."""
    if task.type == "regression":
        return np.array([record.number for record in records], np.float64)
    index = {label: place for place, label in enumerate(labels)}
    if task.type == "single_label":
        return np.array([index.get(next(iter(record.labels), ""), -1) for record in records], np.int64)
    targets = np.zeros((len(records), len(labels)), bool)
    for row, record in enumerate(records):
        targets[row, [index[label] for label in record.labels if label in index]] = True
    return targets


def _folds(records: Sequence[Record]) -> np.ndarray:
    """Three folds, int [N], with rows of the same text in the same one."""
    keys = np.array([record_key(record) for record in records], np.uint64)  # NumPy's own choice, float64, merges keys
    folds: np.ndarray = np.unique(keys, return_inverse=True)[1] % 3
    return folds


class _Score:
    """How good predictions for the eval rows are: accuracy, micro-F1 at its best threshold, or Spearman's correlation.

    Attributes:
        threshold: for many labels per row.
    """

    def __init__(self, task: TaskConfig, targets: np.ndarray) -> None:
        self._task, self._targets, self.threshold = task, targets, 0.5

    def __call__(self, predictions: np.ndarray) -> float:
        if self._task.type == "single_label":
            return float((predictions.argmax(axis=1) == self._targets).mean())
        if self._task.type == "multi_label":
            return self._micro_f1(predictions, self.best_threshold(predictions))
        correlation = shared_metrics.correlations(self._targets, predictions[:, 0])["spearman"]
        return -1.0 if math.isnan(correlation) else correlation

    def best_threshold(self, predictions: np.ndarray) -> float:
        """The threshold with the highest micro-F1; 0.5 for other tasks, and where no row has a label."""
        if self._task.type != "multi_label" or not self._targets.any():
            return 0.5
        return float(max(_THRESHOLDS, key=lambda threshold: self._micro_f1(predictions, threshold)))

    def _micro_f1(self, predictions: np.ndarray, threshold: float) -> float:
        predicted = predictions >= np.float32(threshold)
        return 2 * float((predicted & self._targets).sum()) / max(1, int(predicted.sum() + self._targets.sum()))
