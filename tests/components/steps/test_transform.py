"""The graph that Transform builds gives the golden ids, and the targets that the Trainer expects."""

from __future__ import annotations

import itertools
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


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The golden texts, with three labels in turn, of which the third is unknown."""
    labels = itertools.cycle([b"pos", b"neg", b"never seen"])
    rows = [{"text": [row["bytes"]], "label": [next(labels)]} for row in golden_text.rows()]
    specs = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text", "label")}
    space = LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2)
    return _transform(rows, specs, TaskConfig(), space, tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Pairs of texts with the numbers 0.5, -1 and 3."""
    rows = [{"text": [b"good film"], "other": [b"bad"], "label": [number]} for number in (0.5, -1.0, 3.0)]
    specs = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text", "other")}
    specs["label"] = tf.io.FixedLenFeature([1], tf.float32)
    task, space = TaskConfig(type="regression", text_pair="other"), LabelSpace(rows=3, mean=1.0, std=2.0)
    return _transform(rows, specs, task, space, tmp_path_factory.mktemp("pairs"))


def test_the_transform_graph_gives_the_golden_ids(single: list[dict[str, Any]]) -> None:
    assert [list(row["token_ids"]) for row in single] == [row["token_ids"] for row in golden_text.rows()]


def test_labels_are_positions_and_unknown_ones_negative(single: list[dict[str, Any]]) -> None:
    assert len(single) >= 3
    np.testing.assert_array_equal([row["target"] for row in single], np.resize([1, 0, -1], len(single))[:, None])


def test_numbers_stay(pairs: list[dict[str, Any]]) -> None:
    np.testing.assert_array_equal([row["target"] for row in pairs], [[0.5], [-1.0], [3.0]])


@pytest.mark.slow
def test_several_labels_are_marked_each(tmp_path: Path) -> None:
    rows = [{"text": [b"good film"], "label": value} for value in ([b"c", b"a"], [], [b"b"])]
    specs = {"text": tf.io.FixedLenFeature([1], tf.string), "label": tf.io.VarLenFeature(tf.string)}
    labels = LabelSpace(labels=("a", "b", "c"), counts=(1, 1, 1), rows=3)
    transformed = _transform(rows, specs, TaskConfig(type="multi_label"), labels, tmp_path)
    np.testing.assert_array_equal([row["target"] for row in transformed], [[1, 0, 1], [0, 0, 0], [0, 1, 0]])


@pytest.mark.slow
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


def test_a_pair_has_segments(pairs: list[dict[str, Any]]) -> None:
    for row in pairs:
        assert len(row["token_ids"]) == len(row["segment_ids"])
        assert list(row["segment_ids"]) == [0, 0, 0, 0, 1, 1]
