"""One TFMA metric that computes all metrics of a slice at once, exactly.

TFMA's own metrics use tf_keras, with one computation for each metric and label. This one gathers the targets and
predictions of a slice as compact arrays (4 bytes for each row and label) and passes them to `metrics.py` when the slice
is complete.
"""

from __future__ import annotations

import array
import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components.config import EvaluationConfig
from components.evaluation import metrics
from components.evaluation.baseline_comparison import BaselineSettings
from components.evaluation.comparison import Baseline, compare, from_tables, tables
from components.evaluation.live.live_baseline import SIGNATURE
from components.evaluation.measurements import LINEAR, MAJORITY, SOURCES, Measurements, Slice
from components.evaluation.tfma_rows import PREDICTED
from components.evaluation.thresholds import slice_columns
from models.config import TaskConfig
from models.errors import DataError
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.prediction import TaskType

CONFUSION = "confusion"
"""Name under which a slice's confusion matrix is stored, next to the metrics."""
_UNREACHED = "unreached"  # used instead of a model's name


class TextMetrics(tfma.metrics.Metric):
    """All metrics of a task, for `tfma.EvalConfig` (`class_name: TextMetrics`, `module`: this one)."""

    def __init__(
        self,
        task: dict[str, Any],
        labels: list[str],
        live: dict[str, Any] | None = None,
        judged: list[str] | None = None,
        temperatures: list[float] | None = None,
        baselines: dict[str, Any] | None = None,
        rows: int = 0,
        least: int = 0,
        name: str = "text_metrics",
    ) -> None:
        """See `_computations`. The arguments are JSON values, because the EvalConfig contains them."""
        compared: dict[str, Any] = {"live": live, "judged": judged or [], "baselines": baselines, "rows": rows}
        settings = {"task": task, "labels": labels, "temperatures": temperatures, "least": least, **compared}
        super().__init__(_computations, **settings, name=name)


def _computations(
    task: dict[str, Any],
    labels: list[str],
    live: dict[str, Any] | None,
    judged: list[str],
    temperatures: list[float] | None,
    baselines: dict[str, Any] | None,
    rows: int,
    least: int,
    name: str,
    model_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    """One computation for both the candidate and the live model, which are compared row by row.

    Args:
        task: the `task` part of the configuration.
        labels: labels in the order of the candidate's outputs; empty for a regression.
        live: the fields of the live model's `Baseline`; None if it is not measured.
        judged: metrics whose loss to the live model gets an interval.
        temperatures: the candidate's.
        baselines: a `BaselineSettings`; None if no baseline is measured.
        rows: that are measured. A slice with fewer has no confusion matrix.
        least: a slice with fewer rows is only counted.
        name: of the computation, not a metric; `model_names`: the evaluated models, of a single one "".
    """
    settings = TaskConfig.model_validate(task)
    names = model_names or [""]
    candidate = next(model for model in names if model != tfma.BASELINE_KEY)
    baseline = None
    if live is not None and tfma.BASELINE_KEY in names:
        baseline = Baseline(tuple(live["labels"]), float(live["threshold"]))
    models = (candidate,) if baseline is None else (candidate, tfma.BASELINE_KEY)
    keys = [metric_types.MetricKey(name=name, model_name=model) for model in models]
    measured = None if baselines is None else BaselineSettings.from_json(baselines)
    scaled = tuple(temperatures or ())
    gather = _ComputeMetrics(settings, tuple(labels), candidate, baseline, tuple(judged), scaled, measured, rows, least)
    return [metric_types.MetricComputation(keys, [_SelectNumbers()], gather)]


class _SelectNumbers(metric_types.Preprocessor):
    """Selects the target and the predictions (candidate, live model, linear baseline) from a row's extracts, as 1-D
    arrays, empty for what is not measured."""

    def __init__(self) -> None:
        super().__init__(name="transom_pick")

    def process(self, extracts: tfma.Extracts) -> Iterator[tuple[np.ndarray, ...]]:
        none = np.zeros(0, np.float32)
        predictions = (np.ravel(extracts.get(PREDICTED + source, none)) for source in SOURCES)
        yield np.ravel(extracts[tfma.LABELS_KEY]), *predictions


@dataclass
class _Gathered:
    """The rows so far, concatenated: targets float64; predictions of the candidate, the live model and the linear
    baseline float32."""

    rows: int = 0
    targets: array.array = field(default_factory=lambda: array.array("d"))
    predictions: list[array.array] = field(default_factory=lambda: [array.array("f") for _ in range(3)])


class _ComputeMetrics(beam.CombineFn):
    """Gathers rows and, at the end, computes their metrics."""

    def __init__(
        self,
        task: TaskConfig,
        labels: tuple[str, ...],
        model: str,
        baseline: Baseline | None,
        judged: Sequence[str],
        temperatures: Sequence[float],
        baselines: BaselineSettings | None,
        rows: int,
        least: int,
    ) -> None:
        super().__init__()
        self._rows, self._least = rows, least
        self._task, self._labels, self._model, self._temperatures = task, labels, model, temperatures
        self._baseline, self._judged, self._baselines = baseline, judged, baselines

    def create_accumulator(self) -> _Gathered:
        return _Gathered()

    def add_input(self, accumulator: _Gathered, element: tuple[np.ndarray, ...]) -> _Gathered:
        target, *predictions = element
        accumulator.rows += 1
        accumulator.targets.frombytes(target.astype(np.float64).tobytes())
        for gathered, prediction in zip(accumulator.predictions, predictions, strict=False):
            gathered.frombytes(prediction.astype(np.float32).tobytes())
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Gathered]) -> _Gathered:
        others = iter(accumulators)
        # Beam may read an accumulator again after merging it, so the result starts as a copy.
        merged = copy.deepcopy(next(others))
        for other in others:
            merged.rows += other.rows
            merged.targets.extend(other.targets)
            for gathered, more in zip(merged.predictions, other.predictions, strict=True):
                gathered.extend(more)
        return merged

    def extract_output(self, accumulator: _Gathered) -> dict[metric_types.MetricKey, Any]:
        targets, candidate, live, linear = self._arrays(accumulator)
        is_whole = accumulator.rows >= self._rows
        if accumulator.rows < self._least and not is_whole:
            return self._keyed(self._model, metrics.counts_only(self._task, targets, candidate))
        given = self._task, self._labels, targets, candidate
        measured, confusion = metrics.measure(*given, self._temperatures, confused=is_whole)
        result = self._keyed(self._model, measured)
        if confusion is not None:
            result[metric_types.MetricKey(name=CONFUSION, model_name=self._model)] = confusion
        result |= self._keyed(_UNREACHED, dict.fromkeys(self._unreached(targets, measured), 1.0))
        if self._baseline is not None:
            compared = compare(self._task, self._labels, self._baseline, targets, candidate, live, self._judged)
            for model, values in tables(tfma.BASELINE_KEY, compared).items():
                result |= self._keyed(model, values)
        if self._baselines is not None:
            for name, compared in self._baselines.compare(self._task, self._labels, targets, candidate, linear):
                for model, values in tables(name, compared).items():
                    result |= self._keyed(model, values)
        return result

    def _keyed(self, model: str, values: Mapping[str, float]) -> dict[metric_types.MetricKey, Any]:
        return {metric_types.MetricKey(name=name, model_name=model): value for name, value in values.items()}

    def _arrays(self, gathered: _Gathered) -> Iterator[np.ndarray]:
        """The targets as `metrics` needs them, and the predictions of the candidate, the live model and the linear
        baseline, float32 [N, C], [N, C'] and [N, C]; with no columns for what is not measured."""
        rows, classes = gathered.rows, len(self._labels)
        targets = np.frombuffer(gathered.targets, np.float64)
        if self._task.type == "single_label":
            targets = targets.astype(np.int64)
        elif self._task.type == "multi_label":
            targets = targets.reshape(rows, classes + 1).astype(np.int64)
        yield targets
        for part in gathered.predictions:
            yield np.frombuffer(part, np.float32).reshape(rows, len(part) // rows if rows else 0)

    def _unreached(self, targets: np.ndarray, measured: metrics.Metrics) -> list[str]:
        """The metrics that are undefined for the candidate, but not for a model that is always right."""
        undefined = [name for name, value in measured.items() if math.isnan(value)]
        if not undefined:
            return []
        if self._task.type == "regression":
            right = np.nan_to_num(targets)[:, None]
        elif self._task.type == "single_label":
            right = (targets[:, None] == np.arange(len(self._labels))).astype(np.float32)
        else:
            right = targets[:, :-1].astype(np.float32)
        best, _ = metrics.measure(self._task, self._labels, targets, right, confused=False)
        return [name for name in undefined if not math.isnan(best.get(name, math.nan))]


def build_eval_config(
    task: TaskConfig,
    config: EvaluationConfig,
    space: LabelSpace,
    baseline: Baseline | None,
    baselines: BaselineSettings | None = None,
    rows: int = 0,
) -> tfma.EvalConfig:
    """One metric that computes all of Transom's, and the slices; `space` has the candidate's labels and temperatures.

    TFMA's confidence intervals, example weights and default metrics are left out: they cost several passes.
    """
    metric = TextMetrics(
        task=task.model_dump(mode="json"),
        labels=list(space.labels),
        temperatures=list(space.temperatures),
        live=None if baseline is None else asdict(baseline),
        judged=[name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None],
        baselines=None if baselines is None else asdict(baselines),
        rows=rows,
        least=config.min_slice_size,
    )
    eval_config = tfma.EvalConfig(
        # Without a type TFMA tries to load the model with Keras first.
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, model_type=tfma.TF_GENERIC)],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=TextMetrics.__name__,
                        module=TextMetrics.__module__,
                        config=to_json(metric.get_config()),
                    )
                ]
            )
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            *(tfma.SlicingSpec(feature_keys=[name]) for name in slice_columns(task, config)),
        ],
    )
    eval_config.options.include_default_metrics.value = False
    eval_config.options.compute_confidence_intervals.value = False
    return eval_config


def read_measurements(folder: str, task_type: TaskType) -> Measurements:
    """Reads TFMA's output in `folder`: metrics of the candidate and the live model, on all rows and on each slice.

    Raises:
        DataError: there was no row with a target.
    """
    parts, confusion = [], None
    for record in tfma.load_metrics(folder):
        part, matrix = _slice(record)
        parts.append(part)
        confusion = matrix if not part.column else confusion
    whole = next((part for part in parts if not part.column), None)
    if whole is None or not whole.rows:
        raise DataError("the evaluated split", got="no row with a label", expected="rows to measure the model on")
    slices = tuple(part for part in parts if part.column)
    return Measurements(task=task_type, split="", labels=(), whole=whole, slices=slices, confusion=confusion)


def _slice(record: Any) -> tuple[Slice, list[Any] | None]:
    """One of TFMA's records as a slice, and the candidate's confusion matrix."""
    keys = record.slice_key.single_slice_keys
    column, value = (keys[0].column, keys[0].bytes_value.decode("utf-8")) if keys else ("", "")
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
    unreached = frozenset(models.pop(_UNREACHED, {}))
    comparison = from_tables(tfma.BASELINE_KEY, models)
    compared = {name: from_tables(name, models) for name in (MAJORITY, LINEAR)}
    baselines = {name: found for name, found in compared.items() if found is not None}
    return Slice(column, value, next(iter(models.values())), comparison, unreached, baselines), confusion
