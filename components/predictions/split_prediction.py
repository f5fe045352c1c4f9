"""Predicts the rows of a split, file by file: for TFMA, which measures them, and as files that are kept."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.types import standard_artifacts

from components.baselines.stored_baselines import Predictions
from components.baselines.text_rows import text_key
from components.evaluation.baseline_comparison import BaselineSettings
from components.evaluation.live.live_baseline import SIGNATURE, load_model, output_name
from components.evaluation.measurements import LINEAR, LIVE, MODEL
from components.evaluation.metrics import UNKNOWN, UNLABELLED
from components.evaluation.slices import characters, column_values, slice_values
from components.evaluation.tfma_rows import MeasuredRow
from components.gathered import Gatherer
from components.predictions.stored_predictions import PredictedRows, PredictionFacts, write_rows
from components.tf_examples import RECORD_OPTIONS, file_sizes, read_batches, row_count, split_files, whole_file
from models.config import TaskConfig

_INFERENCE_ROWS = 32
"""Rows per call of a model. They are padded to the longest text of the call, so more rows would waste work."""


@dataclass(frozen=True)
class SplitPredictor:
    """Predicts rows with all models that are measured.

    Attributes:
        task: names the features with the texts and the target.
        facts: the labels, and what else is stored with the predictions.
        columns: the slices to compute: "label", "text_length" or names of features.
        model: folder of the SavedModel.
        live: of the live one; None if it is not measured.
        baselines: where the linear baseline's predictions are; None if no baseline is measured.
    """

    task: TaskConfig
    facts: PredictionFacts
    columns: tuple[str, ...]
    model: str
    live: str | None = None
    baselines: BaselineSettings | None = None

    def predict(
        self, examples: types.Artifact, gatherer: Gatherer, folder: str
    ) -> tuple[standard_artifacts.Examples, int]:
        """Predicts the split's rows.

        Args:
            examples: the raw rows.
            gatherer: computes; its temporary folder gets the rows for TFMA.
            folder: gets the predictions.

        Returns:
            An unregistered artifact with the rows as `tfma_rows.MeasuredRow`, in the same split; and their number.
        """
        split = self.facts.split
        measured = standard_artifacts.Examples()
        measured.uri = os.path.join(gatherer.temporary, "measured")
        measured.split_names = f'["{split}"]'
        target = os.path.join(measured.uri, f"Split-{split}")
        for made in (target, folder):
            tf.io.gfile.makedirs(made)
        files = split_files(examples, split)
        predict = partial(self._predict_file, measured=target, kept=folder, temporary=gatherer.temporary)
        items = list(enumerate(files))
        rows = sum(gatherer.gather(items, predict, file_sizes(files), row_count(examples, [split]), "predicted"))
        return measured, rows

    def _predict_file(self, item: tuple[int, str], measured: str, kept: str, temporary: str) -> int:
        """Predicts the rows of one numbered file; returns how many these are."""
        number, file = item
        batches = read_batches([file])
        first = next(batches, None)
        if first is None:
            return 0
        name, rows = f"part-{number:05d}", 0
        with (
            whole_file(os.path.join(measured, f"{name}.gz"), temporary) as for_tfma,
            whole_file(os.path.join(kept, f"{name}.parquet"), temporary) as for_readers,
            tf.io.TFRecordWriter(for_tfma, RECORD_OPTIONS) as writer,
            tf.io.gfile.GFile(for_readers, "wb") as stream,
        ):

            def predicted() -> Iterator[PredictedRows]:
                nonlocal rows
                for batch in itertools.chain([first], batches):
                    features = [tf.train.Example.FromString(row).features.feature for row in batch]
                    found = self._predict(batch, features)
                    for row in self._measured(features, found):
                        writer.write(row.to_bytes())
                    rows += len(batch)
                    yield found

            write_rows(_Stream(stream), predicted(), self.facts)
        return rows

    def _predict(self, rows: Sequence[bytes], features: Sequence[Mapping[str, Any]]) -> PredictedRows:
        task, texts = self.task, [_text(one, self.task.text) for one in features]
        pairs = None if task.text_pair is None else [_text(one, task.text_pair) for one in features]
        keys = [text_key(text, pair) for text, pair in zip(texts, pairs or itertools.repeat(None), strict=False)]
        is_number = task.type == "regression"
        columns = {task.text, task.text_pair, task.label}
        order = np.argsort([characters(one, task) for one in features], kind="stable")
        folders = {MODEL: self.model} | ({} if self.live is None else {LIVE: self.live})
        scores = {source: self._run(folder, rows, order) for source, folder in folders.items()}
        linear = self._linear()
        if linear is not None:
            scores[LINEAR] = linear.find(keys)
        return PredictedRows(
            keys,
            [text.decode() for text in texts],
            None if pairs is None else [pair.decode() for pair in pairs],
            None if is_number else [tuple(v.decode() for v in one[task.label].bytes_list.value) for one in features],
            [next(iter(one[task.label].float_list.value), float("nan")) for one in features] if is_number else None,
            [
                {name: ", ".join(column_values(one[name])) for name in sorted(one) if name not in columns}
                for one in features
            ],
            scores,
        )

    def _run(self, folder: str, rows: Sequence[bytes], order: np.ndarray) -> np.ndarray:
        """A model's outputs for the rows, float32 [N, C]. Texts of similar length are together."""
        predict, name = load_model(folder).signatures[SIGNATURE], output_name(self.task)
        found: np.ndarray | None = None
        for begin in range(0, len(order), _INFERENCE_ROWS):
            places = order[begin : begin + _INFERENCE_ROWS]
            outputs = predict(tf.constant([rows[place] for place in places]))[name].numpy()
            outputs = outputs.reshape(len(places), -1).astype(np.float32)
            if found is None:
                found = np.empty((len(order), outputs.shape[1]), np.float32)
            found[places] = outputs
        return np.zeros((0, 1), np.float32) if found is None else found

    def _linear(self) -> Predictions | None:
        return None if self.baselines is None else self.baselines.predictions(self.facts.labels)

    def _measured(self, features: Sequence[Mapping[str, Any]], found: PredictedRows) -> Iterator[MeasuredRow]:
        index = {label: number for number, label in enumerate(self.facts.labels)}
        for row, one in enumerate(features):
            yield MeasuredRow(
                self._target(row, found, index),
                {source: scores[row] for source, scores in found.scores.items()},
                {name: slice_values(name, one, self.task) for name in self.columns},
            )

    def _target(self, row: int, found: PredictedRows, index: Mapping[str, int]) -> np.ndarray:
        """What `metrics` measures against: float64 [1], or [C + 1] for several labels per row."""
        if found.numbers is not None:
            return np.array([found.numbers[row]])
        labels = found.given[row] if found.given is not None else ()
        if self.task.type == "single_label":
            return np.array([float(index.get(labels[0], UNKNOWN) if labels else UNLABELLED)])
        target = np.zeros(len(index) + 1)
        target[[index.get(label, -1) for label in labels]] = 1.0
        return target


class _Stream(io.RawIOBase):
    """A GFile as a stream that pyarrow writes to: a GFile does not say whether it is closed."""

    def __init__(self, file: tf.io.gfile.GFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._file.write(bytes(content))
        return len(content)


def _text(features: Mapping[str, Any], name: str) -> bytes:
    text: bytes = features[name].bytes_list.value[0]
    return text
