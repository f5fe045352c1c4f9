"""The metrics of an evaluation, and which thresholds are possible for them. Imports neither TensorFlow nor TFX.

The names are those of `evaluation.thresholds` in the configuration and of the report; `metrics.py` computes them.
A metric of one label is named METRIC/LABEL ("recall/spam").
"""

from __future__ import annotations

import difflib
import math
from typing import Literal

from components.config import EvaluationConfig, ThresholdConfig
from models.config import TaskConfig
from models.errors import ConfigError
from tflite.host.prediction import TaskType

Direction = Literal["higher", "lower", "none"]

LABEL_SLICE = "label"
LENGTH_SLICE = "text_length"

_COUNTS: dict[str, Direction] = {"example_count": "none", "unlabelled_count": "none", "not_finite_count": "none"}
_PER_LABEL: dict[str, Direction] = {"precision": "higher", "recall": "higher", "f1": "higher"}

METRICS: dict[TaskType, dict[str, Direction]] = {
    "single_label": {
        **_COUNTS,
        "unknown_label_count": "lower",
        "accuracy": "higher",
        "macro_f1": "higher",
        "weighted_f1": "higher",
        "auc": "higher",
        "log_loss": "lower",
        "calibration_error": "lower",
    },
    "multi_label": {
        **_COUNTS,
        "unknown_label_count": "lower",
        "micro_f1": "higher",
        "macro_f1": "higher",
        "mean_average_precision": "higher",
        "subset_accuracy": "higher",
        "log_loss": "lower",
        "calibration_error": "lower",
    },
    "regression": {**_COUNTS, "mse": "lower", "mae": "lower", "pearson": "higher", "spearman": "higher"},
}
"""Task to metric to the direction in which it is better; `none`: neither direction is."""

PER_LABEL_METRICS: dict[TaskType, dict[str, Direction]] = {
    "single_label": _PER_LABEL,
    "multi_label": {**_PER_LABEL, "average_precision": "higher"},
    "regression": {},
}
"""Task to the metrics that exist for each label, as METRIC/LABEL, with their directions."""

NOT_BY_LABEL = frozenset({"macro_f1", "weighted_f1", "auc", "mean_average_precision"})
"""Metrics that mean nothing in a slice by label, because they compare labels and there only one has rows. (An average
would count every stray prediction as a label with an F1 of 0.) Accuracy has a meaning there: it is the label's recall.
"""

UNCALIBRATED = "uncalibrated_"
"""Before the names of `log_loss` and `calibration_error`: as they would be without the model's temperatures. They are
reported for all rows, and have no thresholds."""

# The metrics that are not between 0 and 1: those without an upper bound, and those between -1 and 1.
_UNBOUNDED = (*_COUNTS, "unknown_label_count", "log_loss", "mse", "mae")
_SIGNED = ("pearson", "spearman")


def direction(task_type: TaskType, metric: str) -> Direction:
    """The direction in which `metric` is better.

    Raises:
        ConfigError: the task has no such metric.
    """
    if metric in METRICS[task_type]:
        return METRICS[task_type][metric]
    family, slash, _ = metric.partition("/")
    if slash and family in PER_LABEL_METRICS[task_type]:
        return PER_LABEL_METRICS[task_type][family]
    known = [*METRICS[task_type], *(f"{family}/LABEL" for family in PER_LABEL_METRICS[task_type])]
    close = difflib.get_close_matches(metric, known, n=1)
    raise ConfigError(
        f"evaluation.thresholds.{metric}",
        got=f"a metric that task.type {task_type!r} does not have",
        expected="one of " + ", ".join(known),
        fix=f"did you mean {close[0]!r}?" if close else "choose one of these, or remove the threshold",
    )


def _check_reachable(metric: str, threshold: ThresholdConfig) -> None:
    """Refuses a threshold that no model passes, such as a percentage instead of a fraction."""
    lowest, highest = -1.0 if metric in _SIGNED else 0.0, math.inf if metric in _UNBOUNDED else 1.0
    where = f"evaluation.thresholds.{metric}"
    loss = threshold.max_loss_to_live
    if loss is not None and loss >= highest - lowest:
        raise ConfigError(
            f"{where}.max_loss_to_live",
            got=f"{loss:g}, a loss that no model can have",
            expected=f"less than {highest - lowest:g}, the range of {metric}",
            fix=f"write {loss / 100:g} for {loss:g}%",
        )
    if threshold.min is not None and threshold.min > highest:
        raise ConfigError(
            f"{where}.min",
            got=f"{threshold.min:g}",
            expected=f"at most {highest:g}, the highest value that {metric} can have",
            fix=f"write {threshold.min / 100:g} for {threshold.min:g}%" if 2 <= threshold.min <= 100 else "lower it",
        )
    if threshold.max is not None and threshold.max < lowest:
        raise ConfigError(
            f"{where}.max",
            got=f"{threshold.max:g}",
            expected=f"at least {lowest:g}, the lowest value that {metric} can have",
            fix="raise it",
        )
    if threshold.min is not None and threshold.max is not None and threshold.min > threshold.max:
        raise ConfigError(
            where,
            got=f"min {threshold.min:g} and max {threshold.max:g}",
            expected="min at most max",
            fix="swap them",
        )


def check_metrics(task_type: TaskType, config: EvaluationConfig, labels: tuple[str, ...] | None = None) -> None:
    """Refuses thresholds and slices that could never be judged.

    Args:
        task_type: `task.type`.
        config: the `evaluation` part of the configuration.
        labels: the labels, if they are known already (`task.labels`, or those of a trained model).

    Raises:
        ConfigError: an unknown metric or label, a direction that a metric does not have, a slice that the task does
            not have.
    """
    for metric, threshold in config.thresholds.items():
        where = f"evaluation.thresholds.{metric}"
        better = direction(task_type, metric)
        if better == "none" and threshold.max_loss_to_live is not None:
            raise ConfigError(
                f"{where}.max_loss_to_live",
                got="a metric for which neither a higher nor a lower value is better",
                fix="use min or max instead",
            )
        _check_reachable(metric, threshold)
        _, slash, label = metric.partition("/")
        if slash and labels is not None and label not in labels:
            raise ConfigError(where, got=f"label {label!r}", expected="one of " + ", ".join(labels))
        for name in threshold.slices:
            _check_slice(task_type, metric, name, f"{where}.slices")
    # `slices` is not checked: its default has "label", which a regression skips.


def _check_slice(task_type: TaskType, metric: str, name: str, where: str) -> None:
    if metric in NOT_BY_LABEL and name.partition("=")[0] == LABEL_SLICE:
        better = "micro_f1" if task_type == "multi_label" else "accuracy"
        raise ConfigError(
            where,
            got=f"{name}, for {metric}",
            expected="slices in which more than one label has rows",
            fix=f"set a threshold for {better} in slices by label, or for recall/LABEL",
        )
    if task_type == "regression" and name.partition("=")[0] == LABEL_SLICE:
        raise ConfigError(where, got=name, expected="text_length or a column", fix="a regression has no labels")


def slice_columns(task: TaskConfig, config: EvaluationConfig) -> tuple[str, ...]:
    """The slices to compute, in order: those to report, and those that only a threshold may mean.

    "label" is the task's label column, whatever its name, and is left out for a regression; "text_length" is computed.
    Every other name is a column that the table must have; of those of `possible_columns`, it must have one.
    """
    by_threshold = [
        column
        for threshold in config.thresholds.values()
        for name in threshold.slices
        for column in possible_columns(name)
    ]
    names = dict.fromkeys((*config.slices, *by_threshold))
    return tuple(name for name in names if not (task.type == "regression" and name == LABEL_SLICE))


def possible_columns(name: str) -> tuple[str, ...]:
    """The columns that a threshold's slice may mean, because names of columns and values may contain "=" too.

    "a=b=c" is a column "a=b=c", the value "c" of a column "a=b", or the value "b=c" of a column "a".
    """
    parts = name.split("=")
    return tuple("=".join(parts[:end]) for end in range(len(parts), 0, -1))
