"""Rows as tf.Examples, which ExampleGen writes and the later steps read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils

from components.data.rows import Record
from models.config import TaskConfig


def to_example(record: Record, task: TaskConfig) -> bytes:
    """A serialized tf.Example. The same record gives the same bytes.

    Features have the columns' names. Text and text_pair hold one string each; the label one string (`single_label`),
    any number of strings (`multi_label`) or one float (`regression`); every other column that has a value one string.
    """
    example = tf.train.Example()
    features = example.features.feature
    features[task.text].bytes_list.value.append(record.text.encode())
    if task.text_pair is not None:
        features[task.text_pair].bytes_list.value.append((record.text_pair or "").encode())
    if record.number is not None:
        features[task.label].float_list.value.append(record.number)
    else:
        # In a multi-label table, a row without labels has the feature, but empty.
        features[task.label].bytes_list.SetInParent()
        features[task.label].bytes_list.value.extend(label.encode() for label in record.labels)
    for name, value in record.others.items():
        features[name].bytes_list.value.append(value.encode())
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def from_example(serialized: bytes, task: TaskConfig) -> Record:
    """The record that `to_example` wrote."""
    features = tf.train.Example.FromString(serialized).features.feature
    texts = {
        name: [value.decode() for value in feature.bytes_list.value]
        for name, feature in features.items()
        if feature.HasField("bytes_list")
    }
    task_columns = (task.text, task.text_pair, task.label)
    return Record(
        text=texts[task.text][0],
        text_pair=None if task.text_pair is None else texts[task.text_pair][0],
        labels=() if task.type == "regression" else tuple(texts[task.label]),
        number=features[task.label].float_list.value[0] if task.type == "regression" else None,
        others={name: values[0] for name, values in texts.items() if name not in task_columns and values},
    )


def split_files(examples: types.Artifact, split: str) -> list[str]:
    """The files of a split, sorted."""
    return sorted(str(path) for path in Path(artifact_utils.get_split_uri([examples], split)).iterdir())


def read_split(examples: types.Artifact, split: str) -> Iterator[bytes]:
    """The serialized tf.Examples of a split, in the order in which they were written."""
    dataset = tf.data.TFRecordDataset(split_files(examples, split), "GZIP", buffer_size=1 << 20)
    yield from dataset.prefetch(256).as_numpy_iterator()
