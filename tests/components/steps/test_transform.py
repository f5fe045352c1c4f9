"""The transformed examples have the golden ids, and the targets that the Trainer expects."""

from __future__ import annotations

import dataclasses
import itertools

import golden_text
import numpy as np
import pytest
import tensorflow as tf
import tiny_byte_pairs

from components.data.row_batches import RowBatch
from components.steps.transform import Transformer
from models.config import TaskConfig
from models.text.preprocessing import Preprocessor
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


def transform(rows: RowBatch, task: TaskConfig, labels: LabelSpace, tokenizer: Tokenizer) -> list[dict[str, list]]:
    found = []
    for serialized in Transformer(task, tokenizer, labels)(rows):
        features = tf.train.Example.FromString(serialized).features.feature
        found.append({name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in features.items()})
    return found


def golden_texts() -> list[str]:
    return [row["bytes"].decode("utf-8", "replace") for row in golden_text.rows()]


def test_the_golden_texts_get_the_golden_ids() -> None:
    texts = golden_texts()
    labels = itertools.islice(itertools.cycle([("pos",), ("neg",), ("never seen",)]), len(texts))
    space = LabelSpace(labels=("neg", "pos"), counts=(1, 1), rows=2)
    found = transform(RowBatch(texts, None, list(labels), None, {}), TaskConfig(), space, golden_text.tokenizer())
    assert [row["token_ids"] for row in found] == [row["token_ids"] for row in golden_text.rows()]
    assert [row["target"] for row in found] == np.resize([1, 0, -1], len(texts))[:, None].tolist()
    assert all(row.keys() == {"token_ids", "target"} for row in found)


def test_numbers_stay() -> None:
    task, space = TaskConfig(type="regression", text_pair="other"), LabelSpace(rows=3, mean=1.0, std=2.0)
    rows = RowBatch(["good film"] * 3, ["bad"] * 3, None, [0.5, -1.0, 3.0], {})
    found = transform(rows, task, space, golden_text.tokenizer())
    assert [row["target"] for row in found] == [[0.5], [-1.0], [3.0]]
    assert [len(row["segment_ids"]) for row in found] == [len(row["token_ids"]) for row in found]


def test_several_labels_are_marked_each() -> None:
    rows = RowBatch(["good film"] * 4, None, [("c", "a"), (), ("b",), ("never seen",)], None, {})
    labels = LabelSpace(labels=("a", "b", "c"), counts=(1, 1, 1), rows=3)
    found = transform(rows, TaskConfig(type="multi_label"), labels, golden_text.tokenizer())
    assert [row["target"] for row in found] == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_byte_pairs() -> None:
    texts = golden_texts()
    rows = RowBatch(texts, ["good"] * len(texts), [("pos",)] * len(texts), None, {})
    tokenizer = tiny_byte_pairs.tokenizer()
    found = transform(rows, TaskConfig(text_pair="other"), LabelSpace(("neg", "pos"), (1, 1), 2), tokenizer)
    wanted = Preprocessor(tokenizer)(tf.constant(texts), tf.constant(["good"] * len(texts)))
    assert [row["token_ids"] for row in found] == wanted["token_ids"].to_list()
    assert not any(any(row["segment_ids"]) for row in found)


@pytest.mark.parametrize("mediapipe_compatible", [False, True])
def test_an_empty_batch_and_empty_texts(mediapipe_compatible: bool) -> None:
    tokenizer = dataclasses.replace(golden_text.tokenizer(), mediapipe_compatible=mediapipe_compatible)
    space = LabelSpace(labels=("a", "b"), counts=(1, 1), rows=2)
    assert transform(RowBatch([], None, [], None, {}), TaskConfig(), space, tokenizer) == []
    found = transform(RowBatch(["", " \n"], None, [("a",), ("b",)], None, {}), TaskConfig(), space, tokenizer)
    assert [row["token_ids"] for row in found] == [[tokenizer.start_id, tokenizer.end_id]] * 2
