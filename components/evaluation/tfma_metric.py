"""One TFMA metric that computes every figure of a slice at once, exactly.

TFMA's own metrics are tf_keras, one computation for each figure and label. This one gathers the answers and the
predictions of a slice as compact arrays (4 bytes for each row and label) and hands them to `metrics.py`
when the slice is complete.
"""

from __future__ import annotations

import array
import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components.evaluation import metrics
from components.evaluation.comparability import output_name
from components.evaluation.comparison import Baseline, compare
from components.evaluation.measurements import Comparison, Measurements, Slice
from models.config import TaskConfig
from models.errors import DataError
from tflite.host.prediction import TaskType

CONFUSION = "confusion"
"""Name under which a slice's confusion matrix is stored, beside the figures."""
# In place of a model's name: what is no figure of the candidate on all rows.
_COMPARED, _LOWEST, _HIGHEST, _UNREACHED = "compared", "lowest loss", "highest loss", "unreached"


class TextMetrics(tfma.metrics.Metric):
    """Every figure of a task, for `tfma.EvalConfig` (`class_name: TextMetrics`, `module`: this one)."""

    def __init__(
        self,
        task: dict[str, Any],
        labels: list[str],
        live: dict[str, Any] | None = None,
        judged: list[str] | None = None,
        name: str = "text_metrics",
    ) -> None:
        """See `_computations`; the arguments are JSON, for they travel inside the EvalConfig."""
        super().__init__(_computations, task=task, labels=labels, live=live, judged=judged or [], name=name)


def _computations(
    task: dict[str, Any],
    labels: list[str],
    live: dict[str, Any] | None,
    judged: list[str],
    name: str,
    model_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    """One computation for the candidate and the live model, which are compared row by row.

    Args:
        task: the `task` part of the configuration.
        labels: labels in the order of the candidate's outputs; empty for a regression.
        live: the fields of the live model's `Baseline`; None where it is not measured.
        judged: metrics whose loss to the live model gets an interval.
        name: identifies the computation; it is not a figure.
        model_names: the models that are evaluated; the name is "" where there is one.
    """
    settings = TaskConfig.model_validate(task)
    names = model_names or [""]
    candidate = next(model for model in names if model != tfma.BASELINE_KEY)
    baseline = None
    if live is not None and tfma.BASELINE_KEY in names:
        baseline = Baseline(tuple(live["labels"]), float(live["threshold"]))
    models = (candidate,) if baseline is None else (candidate, tfma.BASELINE_KEY)
    keys = [metric_types.MetricKey(name=name, model_name=model) for model in models]
    gather = _Gather(settings, tuple(labels), candidate, baseline, tuple(judged))
    return [metric_types.MetricComputation(keys, [_Pick(models, output_name(settings))], gather)]


class _Pick(metric_types.Preprocessor):
    """Takes the models' numbers out of a row's extracts: the answer, and each model's prediction, 1-D arrays."""

    def __init__(self, models: tuple[str, ...], output: str) -> None:
        super().__init__(name=f"transom_pick_{'_'.join(models)}")
        self._models, self._output = models, output

    def process(self, extracts: tfma.Extracts) -> Iterator[tuple[np.ndarray, ...]]:
        yield np.ravel(extracts[tfma.LABELS_KEY]), *(self._numbers(extracts, model) for model in self._models)

    def _numbers(self, extracts: tfma.Extracts, model: str) -> np.ndarray:
        outputs = extracts[tfma.PREDICTIONS_KEY]
        # TFMA drops the level of the models where there is one, and that of the outputs where there is one.
        for name in (model, self._output):
            if isinstance(outputs, dict) and name in outputs:
                outputs = outputs[name]
        return np.ravel(outputs)


@dataclass
class _Gathered:
    """Rows so far, one after the other: answers float64, the predictions of each model float32."""

    rows: int = 0
    answers: array.array = field(default_factory=lambda: array.array("d"))
    predictions: list[array.array] = field(default_factory=lambda: [array.array("f"), array.array("f")])


class _Gather(beam.CombineFn):
    """Gathers rows and, at the end, computes their figures."""

    def __init__(
        self, task: TaskConfig, labels: tuple[str, ...], model: str, baseline: Baseline | None, judged: Sequence[str]
    ) -> None:
        super().__init__()
        self._task, self._labels, self._model = task, labels, model
        self._baseline, self._judged = baseline, judged

    def create_accumulator(self) -> _Gathered:
        return _Gathered()

    def add_input(self, accumulator: _Gathered, element: tuple[np.ndarray, ...]) -> _Gathered:
        answer, *predictions = element
        accumulator.rows += 1
        accumulator.answers.frombytes(answer.astype(np.float64).tobytes())
        for gathered, prediction in zip(accumulator.predictions, predictions, strict=False):
            gathered.frombytes(prediction.astype(np.float32).tobytes())
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Gathered]) -> _Gathered:
        others = iter(accumulators)
        # Beam may read an accumulator again after merging it, so the sum starts as a copy.
        merged = copy.deepcopy(next(others))
        for other in others:
            merged.rows += other.rows
            merged.answers.extend(other.answers)
            for gathered, more in zip(merged.predictions, other.predictions, strict=True):
                gathered.extend(more)
        return merged

    def extract_output(self, accumulator: _Gathered) -> dict[metric_types.MetricKey, Any]:
        answers, candidate, live = self._arrays(accumulator)
        own, confusion = self._figures(answers, candidate)
        result = self._keyed(self._model, own)
        if confusion is not None:
            result[metric_types.MetricKey(name=CONFUSION, model_name=self._model)] = confusion
        result |= self._keyed(_UNREACHED, dict.fromkeys(self._unreached(answers, own), 1.0))
        if self._baseline is not None:
            compared = compare(self._task, self._labels, self._baseline, answers, candidate, live, self._judged)
            result |= self._keyed(_COMPARED, compared.candidate) | self._keyed(tfma.BASELINE_KEY, compared.live)
            for model, bound in ((_LOWEST, 0), (_HIGHEST, 1)):
                result |= self._keyed(model, {name: bounds[bound] for name, bounds in compared.losses.items()})
        return result

    def _keyed(self, model: str, values: Mapping[str, float]) -> dict[metric_types.MetricKey, Any]:
        return {metric_types.MetricKey(name=name, model_name=model): value for name, value in values.items()}

    def _arrays(self, gathered: _Gathered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers as `metrics` takes them, and the numbers of both models, float32 [N, C] and [N, C']."""
        rows, classes = gathered.rows, len(self._labels)
        answers = np.frombuffer(gathered.answers, np.float64)
        if self._task.type == "single_label":
            answers = answers.astype(np.int64)
        elif self._task.type == "multi_label":
            answers = answers.reshape(rows, classes + 1).astype(np.int64)
        sizes = (classes, 0 if self._baseline is None else len(self._baseline.labels))
        if self._task.type == "regression":
            sizes = (1, int(self._baseline is not None))
        pairs = zip(gathered.predictions, sizes, strict=True)
        candidate, live = (np.frombuffer(part, np.float32)[: rows * size].reshape(rows, size) for part, size in pairs)
        return answers, candidate, live

    def _figures(self, answers: np.ndarray, predictions: np.ndarray) -> tuple[metrics.Metrics, np.ndarray | None]:
        if self._task.type == "regression":
            return metrics.regression(answers, predictions[:, 0]), None
        if self._task.type == "single_label":
            return metrics.single_label(answers, predictions, self._labels)
        return metrics.multi_label(answers, predictions, self._labels, self._task.threshold)

    def _unreached(self, answers: np.ndarray, found: metrics.Metrics) -> list[str]:
        """The figures that the candidate does not have, and a model that is always right would."""
        missing = [name for name, value in found.items() if math.isnan(value)]
        if not missing:
            return []
        if self._task.type == "regression":
            right = np.nan_to_num(answers)[:, None]
        elif self._task.type == "single_label":
            right = (answers[:, None] == np.arange(len(self._labels))).astype(np.float32)
        else:
            right = answers[:, :-1].astype(np.float32)
        best, _ = self._figures(answers, right)
        return [name for name in missing if not math.isnan(best.get(name, math.nan))]


def read_measurements(folder: str, task_type: TaskType) -> Measurements:
    """What TFMA wrote into `folder`: figures of all rows and of each slice, of the candidate and the live model.

    Raises:
        DataError: TFMA saw no row.
    """
    parts, confusion = [], None
    for record in tfma.load_metrics(folder):
        part, matrix = _slice(record)
        parts.append(part)
        confusion = matrix if not part.column else confusion
    whole = next((part for part in parts if not part.column), None)
    if whole is None or not whole.rows:
        raise DataError("the evaluated split", got="no row with an answer", expected="rows to measure the model on")
    slices = tuple(part for part in parts if part.column)
    return Measurements(task=task_type, split="", labels=(), whole=whole, slices=slices, confusion=confusion)


def _slice(record: Any) -> tuple[Slice, list[Any] | None]:
    """One of TFMA's records as a slice, and the candidate's confusion matrix."""
    column, value = _slice_of(record.slice_key)
    models: dict[str, dict[str, float]] = {}
    confusion = None
    for item in record.metric_keys_and_values:
        if item.key.is_diff:
            continue
        if item.value.WhichOneof("type") == "double_value":
            models.setdefault(item.key.model_name, {})[item.key.name] = item.value.double_value.value
        elif item.key.name == CONFUSION:
            array_value = item.value.array_value
            confusion = np.reshape(array_value.int64_values, array_value.shape).tolist()
    live, compared = models.pop(tfma.BASELINE_KEY, None), models.pop(_COMPARED, None)
    lowest, highest = models.pop(_LOWEST, {}), models.pop(_HIGHEST, {})
    unreached = frozenset(models.pop(_UNREACHED, {}))
    comparison = None
    if live is not None and compared is not None:
        comparison = Comparison(compared, live, {name: (low, highest[name]) for name, low in lowest.items()})
    return Slice(column, value, next(iter(models.values())), comparison, unreached), confusion


def _slice_of(key: Any) -> tuple[str, str]:
    for single in key.single_slice_keys:
        return single.column, single.bytes_value.decode("utf-8")
    return "", ""
