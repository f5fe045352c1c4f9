"""The graph that Transform builds gives the golden ids, and the targets that the Trainer expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import golden_text
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
import tiny_byte_pairs
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.steps.transform import preprocessing_fn
from models.config import TaskConfig
from models.text.preprocessing import Preprocessor
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


def _transform(
    rows: list[dict[str, Any]],
    specs: dict[str, Any],
    task: TaskConfig,
    labels: LabelSpace,
    folder: Path,
    tokenizer: Tokenizer | None = None,
) -> list[dict[str, Any]]:
    """The rows, transformed by a graph that was written and read back as in the pipeline."""
    folder.mkdir(parents=True, exist_ok=True)
    (tokenizer or golden_text.tokenizer()).save(folder)
    labels.save(folder)
    config = {"task": task.model_dump(), "tokenizer": str(folder)}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(specs))
    with tft_beam.Context(temp_dir=str(folder / "temp")):
        (transformed, _), graph = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
    assert tft.TFTransformOutput(str(folder / "graph")).transformed_feature_spec().keys() == transformed[0].keys()
    return transformed


def test_the_transform_graph_gives_the_golden_ids(tmp_path: Path) -> None:
    golden = golden_text.rows()
    rows = [{"text": [row["bytes"]], "label": [b"pos"]} for row in golden]
    specs = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text", "label")}
    labels = LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2)
    transformed = _transform(rows, specs, TaskConfig(), labels, tmp_path)
    got = [list(row["token_ids"]) for row in transformed]
    assert got == [row["token_ids"] for row in golden]


@pytest.mark.parametrize(
    ("task", "labels", "spec", "values", "targets"),
    [
        (
            TaskConfig(),
            LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2),
            tf.io.FixedLenFeature([1], tf.string),
            [[b"pos"], [b"neg"], [b"never seen"]],
            [[1], [0], [-1]],
        ),
        (
            TaskConfig(type="multi_label"),
            LabelSpace(labels=("a", "b", "c"), counts=(1, 1, 1), rows=3),
            tf.io.VarLenFeature(tf.string),
            [[b"c", b"a"], [], [b"b"]],
            [[1, 0, 1], [0, 0, 0], [0, 1, 0]],
        ),
        (
            TaskConfig(type="regression"),
            LabelSpace(rows=3, mean=1.0, std=2.0),
            tf.io.FixedLenFeature([1], tf.float32),
            [[0.5], [-1.0], [3.0]],
            [[0.5], [-1.0], [3.0]],
        ),
    ],
    ids=["single_label", "multi_label", "regression"],
)
def test_targets(task: Any, labels: Any, spec: Any, values: Any, targets: Any, tmp_path: Path) -> None:
    rows = [{"text": [b"good film"], "label": value} for value in values]
    specs = {"text": tf.io.FixedLenFeature([1], tf.string), "label": spec}
    transformed = _transform(rows, specs, task, labels, tmp_path)
    np.testing.assert_array_equal([row["target"] for row in transformed], targets)


def test_byte_pairs_in_the_transform_graph(tmp_path: Path) -> None:
    texts = [row["bytes"] for row in golden_text.rows()]
    rows = [{"text": [text], "other": [b"good"], "label": [b"pos"]} for text in texts]
    specs = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text", "other", "label")}
    labels = LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2)
    tokenizer = tiny_byte_pairs.tokenizer()
    transformed = _transform(rows, specs, TaskConfig(text_pair="other"), labels, tmp_path, tokenizer)
    wanted = Preprocessor(tokenizer)(tf.constant(texts), tf.constant([b"good"] * len(texts)))
    assert [list(row["token_ids"]) for row in transformed] == wanted["token_ids"].to_list()
    assert not any(any(row["segment_ids"]) for row in transformed)


def test_a_pair_has_segments(tmp_path: Path) -> None:
    rows = [{"text": [b"good film"], "other": [b"bad"], "label": [b"pos"]}]
    specs = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text", "other", "label")}
    labels = LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2)
    (row,) = _transform(rows, specs, TaskConfig(text_pair="other"), labels, tmp_path)
    assert len(row["token_ids"]) == len(row["segment_ids"])
    assert list(row["segment_ids"]) == [0, 0, 0, 0, 1, 1]
