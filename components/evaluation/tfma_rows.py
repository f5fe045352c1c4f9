"""How TFMA reads the rows. They are predicted already: a tf.Example has a row's target, predictions and slices.

TFX's Evaluator finds the function `custom_extractors` here by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.row_progress import count_rows

PREDICTED = "transom_predicted: "
"""Begins the key of each source's predictions in a row's extracts."""
_TARGET, _SCORES, _SLICE = "target", "scores: ", "slice: "


@dataclass(frozen=True)
class MeasuredRow:
    """One row.

    Attributes:
        target: as `metrics` takes it, float64 [1] or [C + 1].
        scores: by source, float32 [C], or [1] for a regression.
        slices: by column, the row's values.
    """

    target: np.ndarray
    scores: Mapping[str, np.ndarray]
    slices: Mapping[str, list[str]]

    def to_bytes(self) -> bytes:
        """As a serialized tf.Example. The numbers are bytes, which are read at once and exactly."""
        example = tf.train.Example()
        features = example.features.feature
        features[_TARGET].bytes_list.value.append(self.target.astype(np.float64).tobytes())
        for source, scores in self.scores.items():
            features[_SCORES + source].bytes_list.value.append(scores.astype(np.float32).tobytes())
        for column, values in self.slices.items():
            features[_SLICE + column].bytes_list.value.extend([value.encode() for value in values])
        serialized: bytes = example.SerializeToString(deterministic=True)
        return serialized

    @classmethod
    def from_bytes(cls, serialized: bytes) -> MeasuredRow:
        """From what `to_bytes` gave."""
        found = {
            name: list(feature.bytes_list.value)
            for name, feature in tf.train.Example.FromString(serialized).features.feature.items()
        }
        return cls(
            np.frombuffer(found[_TARGET][0], np.float64),
            {
                name.removeprefix(_SCORES): np.frombuffer(values[0], np.float32)
                for name, values in found.items()
                if name.startswith(_SCORES)
            },
            {
                name.removeprefix(_SLICE): [value.decode() for value in values]
                for name, values in found.items()
                if name.startswith(_SLICE)
            },
        )


def custom_extractors(
    eval_shared_model: Any, eval_config: tfma.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """The extractors of an evaluation: rows with their predictions, and slices."""
    return [
        tfma.extractors.Extractor(stage_name="ReadRows", ptransform=beam.FlatMap(read_rows)),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


def read_rows(batch: tfma.Extracts) -> Iterator[tfma.Extracts]:
    """A batch of B serialized rows as extracts: labels [B, 1] or [B, C + 1] float64, each source's predictions [B, C]
    or [B, 1] float32, and features with the slices' values."""
    column = batch[tfma.ARROW_RECORD_BATCH_KEY].column(tfma.ARROW_INPUT_COLUMN)
    rows = [MeasuredRow.from_bytes(row) for row in column.flatten().to_pylist()]
    if not rows:
        return
    scores = {PREDICTED + source: np.stack([row.scores[source] for row in rows]) for source in rows[0].scores}
    targets = np.stack([row.target for row in rows])
    yield {
        tfma.LABELS_KEY: targets,
        tfma.PREDICTIONS_KEY: targets,  # TFMA wants some
        tfma.FEATURES_KEY: {
            column: tfma.types.VarLenTensorValue.from_dense_rows(
                [np.array(row.slices[column], dtype=object) for row in rows]
            )
            for column in rows[0].slices
        },
        **scores,
    }
    count_rows(len(rows))
