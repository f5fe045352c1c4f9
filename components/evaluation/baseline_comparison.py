"""The candidate and the baselines on the same rows. No TensorFlow.

The baselines are judged by `train.metric`, or for "auto" by the task's own metric: who sets it to macro_f1, because
rare labels matter, does not want to be stopped for a lower accuracy. The trivial answer is the best constant by
accuracy, micro-F1 or mean squared error. A constant has no rank correlation, so for a regression the mean is compared
by `mse`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.baselines.stored_baselines import Baselines, Predictions, in_order_of, load_predictions
from components.config import EvaluationConfig
from components.evaluation.comparison import Baseline, compare
from components.evaluation.measurements import LINEAR, MAJORITY, BaselineFacts, Comparison
from models.config import TaskConfig
from tflite.host.prediction import TaskType

_LINEAR_ANSWER = "a linear model of words and characters"
_BY_TRAINING_METRIC: dict[TaskType, dict[str, str]] = {
    "single_label": {"auto": "accuracy", "micro_f1": "accuracy", "loss": "log_loss", "calibrated_loss": "log_loss"},
    "multi_label": {
        "auto": "micro_f1",
        "accuracy": "subset_accuracy",
        "loss": "log_loss",
        "calibrated_loss": "log_loss",
    },
    "regression": {"auto": "spearman", "loss": "mse"},
}
_ALWAYS_DEFINED: dict[TaskType, str] = {
    "single_label": "accuracy",
    "multi_label": "subset_accuracy",
    "regression": "mse",
}


def judged_metrics(task_type: TaskType, training_metric: str, name: str) -> tuple[str, ...]:
    """The metrics by which to compare with a baseline: the first that is defined decides."""
    always = _ALWAYS_DEFINED[task_type]
    metric = _BY_TRAINING_METRIC[task_type].get(training_metric, training_metric)
    if task_type == "regression" and name == MAJORITY:
        return (always,)
    return tuple(dict.fromkeys((metric, always)))


@dataclass(frozen=True)
class BaselineSettings:
    """What the evaluation of a split needs of the stored baselines; all values can be written as JSON.

    Attributes:
        folder: the stored baselines.
        split: the evaluated split.
        own: the labels of the stored predictions, in their order.
        rows: the rows of the split. A slice with fewer gets no intervals.
        judged: by name of a baseline that is measured, the metrics whose difference gets an interval.
        trivial, trivial_threshold: the constant prediction by the candidate's labels, and where an answer begins.
        linear_threshold: the same for the linear model.
    """

    folder: str
    split: str
    own: tuple[str, ...]
    rows: int
    judged: Mapping[str, tuple[str, ...]]
    trivial: tuple[float, ...]
    trivial_threshold: float
    linear_threshold: float

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> BaselineSettings:
        """From `dataclasses.asdict`, also after it was written as JSON."""
        judged = {name: tuple(metrics) for name, metrics in raw["judged"].items()}
        return cls(**{**raw, "own": tuple(raw["own"]), "trivial": tuple(raw["trivial"]), "judged": judged})

    def predictions(self, labels: tuple[str, ...]) -> Predictions | None:
        """The linear model's predictions by the candidate's labels; None if it is not measured."""
        return load_predictions(self.folder, self.split, self.own, labels) if LINEAR in self.judged else None

    def compare(
        self, task: TaskConfig, labels: tuple[str, ...], targets: np.ndarray, candidate: np.ndarray, linear: np.ndarray
    ) -> Iterator[tuple[str, Comparison]]:
        """Measures the baselines next to the candidate on one slice.

        Args:
            task, labels: the candidate's.
            targets, candidate: as `comparison.compare` takes them, N rows.
            linear: the linear model's predictions by the candidate's labels, [N, C] or [N, 1], NaN for rows that it
                did not predict; any shape if it is not measured.
        """
        for name, metrics in self.judged.items():
            rows, threshold = np.arange(len(candidate)), self.linear_threshold
            if name == MAJORITY:
                other, threshold = np.tile(np.array(self.trivial, np.float32), (len(rows), 1)), self.trivial_threshold
            else:
                rows = np.flatnonzero(np.isfinite(linear).all(axis=1))
                other = linear[rows]
            judged = metrics if len(candidate) == self.rows else ()
            yield (
                name,
                compare(task, labels, Baseline(labels, threshold), targets[rows], candidate[rows], other, judged),
            )


def prepare(
    folder: Path, split: str, task: TaskConfig, labels: tuple[str, ...], config: EvaluationConfig, training_metric: str
) -> tuple[BaselineSettings, BaselineFacts]:
    """What to measure of the baselines in a folder, and what is known of them."""
    stored, severities = Baselines.load(folder), config.baselines
    answers, why_not, train_rows = {}, {}, {}
    if severities.majority != "off":
        answers[MAJORITY], train_rows[MAJORITY] = stored.trivial.words, stored.rows
    if severities.linear != "off" and stored.linear is not None:
        answers[LINEAR], train_rows[LINEAR] = _LINEAR_ANSWER, stored.linear.rows
        if stored.linear.why_not:
            why_not[LINEAR] = stored.linear.why_not
    judged = {name: judged_metrics(task.type, training_metric, name) for name in answers}
    settings = BaselineSettings(
        folder=str(folder),
        split=split,
        own=stored.labels,
        rows=stored.split_rows.get(split, 0),
        judged={name: metrics for name, metrics in judged.items() if name not in why_not},
        trivial=tuple(in_order_of(labels, stored.labels, stored.trivial.prediction).tolist()),
        trivial_threshold=stored.trivial.threshold,
        linear_threshold=0.5 if stored.linear is None else stored.linear.threshold,
    )
    seconds = 0.0 if stored.linear is None else stored.linear.seconds
    return settings, BaselineFacts(judged, answers, why_not, train_rows, stored.rows, seconds)
