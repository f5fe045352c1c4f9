"""How TFMA reads the rows: from serialized tf.Examples to model inputs, targets and slice values.

TFX's Evaluator finds the two functions `custom_…` here by name. Their settings (task, labels) are in the EvalConfig, in
the configuration of the metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.baselines.text_rows import text_key
from components.evaluation.baseline_comparison import BaselineSettings
from components.evaluation.live.live_baseline import load_model
from components.evaluation.metrics import UNKNOWN, UNLABELLED
from components.evaluation.slices import characters, slice_values
from components.evaluation.tfma_metric import LINEAR_KEY
from components.row_progress import count_rows
from models.config import TaskConfig

INFERENCE_ROWS = 32
"""Rows per call of the model. They are padded to the longest text of the call, so more rows would waste work."""


def custom_extractors(
    eval_shared_model: Any, eval_config: tfma.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """The extractors of an evaluation: rows, predictions, slices."""
    metric = json.loads(eval_config.metrics_specs[0].metrics[0].config)
    columns = [key for spec in eval_config.slicing_specs for key in spec.feature_keys]
    baselines = metric.get("baselines")
    rows = RowReader(
        TaskConfig.model_validate(metric["task"]),
        tuple(metric["labels"]),
        tuple(columns),
        None if baselines is None else BaselineSettings.from_json(baselines),
    )
    return [
        tfma.extractors.Extractor(stage_name="ReadRows", ptransform=beam.FlatMap(rows.read)),
        tfma.extractors.PredictionsExtractor(eval_config=eval_config, eval_shared_model=eval_shared_model),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: tfma.EvalConfig, **options: Any
) -> tfma.EvalSharedModel:
    """TFMA's own function, with two changes: the model is loaded once for the whole evaluation, and the live model's
    folder is the SavedModel: TFX's addition to it is removed."""
    path = Path(eval_saved_model_path)
    folder = str(path.parent if model_name == tfma.BASELINE_KEY else path)
    shared = tfma.default_eval_shared_model(
        eval_saved_model_path=folder, model_name=model_name, eval_config=eval_config, **options
    )
    loader = tfma.types.ModelLoader(construct_fn=partial(load_model, folder), tags=shared.model_loader.tags)
    return shared._replace(model_loader=loader)


class RowReader:
    """Reads batches of serialized tf.Examples.

    Args:
        task: names the features with the texts and the target.
        labels: the labels in the order of the model's outputs; empty for a regression.
        columns: the slices to compute: "label", "text_length" or names of features.
        baselines: where the linear baseline's predictions are; None if no baseline is measured.
    """

    def __init__(
        self,
        task: TaskConfig,
        labels: tuple[str, ...],
        columns: tuple[str, ...],
        baselines: BaselineSettings | None = None,
    ) -> None:
        self._task, self._labels, self._columns, self._baselines = task, labels, columns, baselines
        self._index = {label.encode(): index for index, label in enumerate(labels)}
        self._target: Callable[[tf.train.Feature], list[float]] = {
            "single_label": self._one_label,
            "multi_label": self._many_labels,
            "regression": self._number,
        }[task.type]

    def read(self, batch: tfma.Extracts) -> Iterator[tfma.Extracts]:
        """Yields extracts of `INFERENCE_ROWS` rows each: inputs [B] bytes, labels [B, 1] or [B, C + 1] float64,
        features with the slices' values, and the linear baseline's predictions [B, C] or [B, 1] float32. Texts of
        similar length are together; metrics do not depend on the order."""
        linear = None if self._baselines is None else self._baselines.predictions(self._labels)
        column = batch[tfma.ARROW_RECORD_BATCH_KEY].column(tfma.ARROW_INPUT_COLUMN)
        serialized: list[bytes] = column.flatten().to_pylist()
        examples = [tf.train.Example.FromString(row).features.feature for row in serialized]
        lengths = [characters(example, self._task) for example in examples]
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), INFERENCE_ROWS):
            rows = order[start : start + INFERENCE_ROWS]
            found = {} if linear is None else {LINEAR_KEY: linear.find([self._key(examples[row]) for row in rows])}
            yield {
                **found,
                tfma.INPUT_KEY: np.array([serialized[row] for row in rows], dtype=object),
                tfma.LABELS_KEY: np.array([self._target(examples[row][self._task.label]) for row in rows], np.float64),
                tfma.FEATURES_KEY: {
                    name: _var_len([slice_values(name, examples[row], self._task) for row in rows])
                    for name in self._columns
                },
            }
            count_rows(len(rows))

    def _key(self, features: Mapping[str, tf.train.Feature]) -> int:
        """The key of a row's texts in the stored predictions."""
        text, pair = features[self._task.text].bytes_list.value[0], self._task.text_pair
        return text_key(text, None if pair is None else features[pair].bytes_list.value[0])

    def _one_label(self, feature: tf.train.Feature) -> list[float]:
        values = feature.bytes_list.value
        return [self._index.get(values[0], UNKNOWN) if values else UNLABELLED]

    def _many_labels(self, feature: tf.train.Feature) -> list[float]:
        target = [0.0] * (len(self._index) + 1)
        for value in feature.bytes_list.value:
            target[self._index.get(value, -1)] = 1.0
        return target

    def _number(self, feature: tf.train.Feature) -> list[float]:
        values = feature.float_list.value
        return [values[0] if values else float("nan")]


def _var_len(rows: list[list[str]]) -> tfma.types.VarLenTensorValue:
    return tfma.types.VarLenTensorValue.from_dense_rows([np.array(row, dtype=object) for row in rows])
