"""One TFMA metric that computes every figure of a slice at once, exactly.

TFMA's own metrics are tf_keras, one computation for each figure and label. This one gathers the answers and the
predictions of a slice as compact arrays (4 bytes for each row and label) and hands them to `components/figures.py`
when the slice is complete.
"""

from __future__ import annotations

import array
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components import figures
from components.blessing import Measured, Slice
from components.comparison import output_name
from models.asking import TaskType
from models.config import TaskConfig
from models.errors import DataError

CONFUSION = "confusion"
"""Name under which a slice's confusion matrix is stored, beside the figures."""


class TextMetrics(tfma.metrics.Metric):
    """Every figure of a task, for `tfma.EvalConfig` (`class_name: TextMetrics`, `module: components.metrics`)."""

    def __init__(
        self,
        task: dict[str, Any],
        labels: list[str],
        orders: dict[str, list[int]] | None = None,
        name: str = "text_metrics",
    ) -> None:
        """See `_computations`; the arguments are JSON, for they travel inside the EvalConfig."""
        super().__init__(_computations, task=task, labels=labels, orders=orders or {}, name=name)


def _computations(
    task: dict[str, Any],
    labels: list[str],
    orders: dict[str, list[int]],
    name: str,
    model_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    """One computation for each model.

    Args:
        task: the `task` part of the configuration.
        labels: labels in the order of the candidate's outputs; empty for a regression.
        orders: for a model whose outputs stand in another order: for each label, its index among the outputs.
        name: identifies the computation; it is not a figure.
        model_names: the models that are evaluated; the name is "" where there is one.
    """
    settings = TaskConfig.model_validate(task)
    computations: metric_types.MetricComputations = []
    for model in model_names or [""]:
        key = metric_types.MetricKey(name=name, model_name=model)
        picked = _Pick(model, output_name(settings), orders.get(model))
        computations.append(metric_types.MetricComputation([key], [picked], _Gather(settings, tuple(labels), model)))
    return computations


class _Pick(metric_types.Preprocessor):
    """Takes one model's numbers out of a row's extracts: (answer, prediction), 1-D arrays."""

    def __init__(self, model: str, output: str, order: list[int] | None) -> None:
        super().__init__(name=f"transom_pick_{model}")
        self._model, self._output, self._order = model, output, order

    def process(self, extracts: tfma.Extracts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        outputs = extracts[tfma.PREDICTIONS_KEY]
        # TFMA drops the level of the models where there is one, and that of the outputs where there is one.
        for name in (self._model, self._output):
            if isinstance(outputs, dict) and name in outputs:
                outputs = outputs[name]
        prediction = np.ravel(outputs)
        if self._order is not None:
            prediction = prediction[self._order]
        yield np.ravel(extracts[tfma.LABELS_KEY]), prediction


@dataclass
class _Gathered:
    """A slice's rows so far, flat. Answers are float64, exact for indices and for a regression's own numbers."""

    rows: int = 0
    answers: array.array = field(default_factory=lambda: array.array("d"))
    predictions: array.array = field(default_factory=lambda: array.array("f"))


class _Gather(beam.CombineFn):
    """Gathers rows and, at the end, computes their figures."""

    def __init__(self, task: TaskConfig, labels: tuple[str, ...], model: str) -> None:
        super().__init__()
        self._task, self._labels, self._model = task, labels, model

    def create_accumulator(self) -> _Gathered:
        return _Gathered()

    def add_input(self, accumulator: _Gathered, element: tuple[np.ndarray, np.ndarray]) -> _Gathered:
        answer, prediction = element
        accumulator.rows += 1
        accumulator.answers.frombytes(answer.astype(np.float64).tobytes())
        accumulator.predictions.frombytes(prediction.astype(np.float32).tobytes())
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Gathered]) -> _Gathered:
        others = iter(accumulators)
        # Beam may read an accumulator again after merging it, so the sum starts as a copy.
        merged = copy.deepcopy(next(others))
        for other in others:
            merged.rows += other.rows
            merged.answers.extend(other.answers)
            merged.predictions.extend(other.predictions)
        return merged

    def extract_output(self, accumulator: _Gathered) -> dict[metric_types.MetricKey, Any]:
        values, confusion = self._figures(accumulator)
        result: dict[metric_types.MetricKey, Any] = {
            metric_types.MetricKey(name=name, model_name=self._model): value for name, value in values.items()
        }
        if confusion is not None:
            result[metric_types.MetricKey(name=CONFUSION, model_name=self._model)] = confusion
        return result

    def _figures(self, gathered: _Gathered) -> tuple[figures.Figures, np.ndarray | None]:
        rows = gathered.rows
        answers = np.frombuffer(gathered.answers, np.float64)
        predictions = np.frombuffer(gathered.predictions, np.float32)
        if self._task.type == "regression":
            return figures.regression(answers, predictions), None
        classes = len(self._labels)
        probabilities = predictions.reshape(rows, classes)
        if self._task.type == "single_label":
            return figures.single_label(answers.astype(np.int64), probabilities, self._labels)
        many = answers.reshape(rows, classes + 1).astype(np.int64)
        return figures.multi_label(many, probabilities, self._labels, self._task.threshold)


def read_figures(folder: str, task_type: TaskType) -> Measured:
    """What TFMA wrote into `folder`: figures of all rows and of each slice, of the candidate and the live model.

    Raises:
        DataError: TFMA saw no row.
    """
    parts, confusion = [], None
    for record in tfma.load_metrics(folder):
        column, value = _slice_of(record.slice_key)
        models: dict[str, dict[str, float]] = {}
        for item in record.metric_keys_and_values:
            if item.key.is_diff:
                continue
            if item.value.WhichOneof("type") == "double_value":
                models.setdefault(item.key.model_name, {})[item.key.name] = item.value.double_value.value
            elif item.key.name == CONFUSION and not column and item.key.model_name != tfma.BASELINE_KEY:
                array_value = item.value.array_value
                confusion = np.reshape(array_value.int64_values, array_value.shape).tolist()
        live = models.pop(tfma.BASELINE_KEY, None)
        parts.append(Slice(column, value, next(iter(models.values())), live))
    whole = next((part for part in parts if not part.column), None)
    if whole is None or not whole.rows:
        raise DataError("the evaluated split", got="no row with an answer", expected="rows to measure the model on")
    slices = tuple(part for part in parts if part.column)
    return Measured(task=task_type, split="", labels=(), whole=whole, slices=slices, confusion=confusion)


def _slice_of(key: Any) -> tuple[str, str]:
    for single in key.single_slice_keys:
        return single.column, single.bytes_value.decode("utf-8")
    return "", ""
