"""Rows as tf.Examples, which ExampleGen writes and the later steps read."""

from __future__ import annotations

import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.row_progress import count_rows
from models.config import TaskConfig
from tflite.host.json_text import to_json

# The rows that TensorFlow reads at once: few, because one may have 50 MB.
_READ_ROWS = 128
# The rows, or the bytes, from which on a batch is full.
_BATCH_ROWS, _BATCH_BYTES = 4096, 8 * 2**20
# The property of an artifact with examples that holds the number of rows of each split, as JSON.
_ROWS = "rows"

RECORD_OPTIONS = tf.io.TFRecordOptions("GZIP", compression_level=1)
"""Of TFRecords: a fifth of the default level's time, for files that are a fifth larger."""


def to_example(record: Record, task: TaskConfig) -> bytes:
    """A serialized tf.Example. The same record gives the same bytes.

    Features have the columns' names. Text and text_pair hold one string each; the label one string (`single_label`),
    any number of strings (`multi_label`) or one float (`regression`); every other column that has a value one string.
    """
    return next(to_examples(RowBatch.of_records([record], task), task))


def to_examples(rows: RowBatch, task: TaskConfig) -> Iterator[bytes]:
    """The serialized tf.Example of each row."""
    for text, pair, labels, number, others in rows.values():
        example = tf.train.Example()
        features = example.features.feature
        features[task.text].bytes_list.value.append(text.encode())
        if task.text_pair is not None:
            features[task.text_pair].bytes_list.value.append((pair or "").encode())
        if number is not None:
            features[task.label].float_list.value.append(number)
        else:
            # In a multi-label table, a row without labels has the feature, but empty.
            values = features[task.label].bytes_list
            values.SetInParent()
            values.value.extend([label.encode() for label in labels])
        for name, value in others.items():
            features[name].bytes_list.value.append(value.encode())
        yield example.SerializeToString(deterministic=True)


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


def from_examples(serialized: Sequence[bytes], task: TaskConfig) -> RowBatch:
    """The rows that `to_example` wrote, decoded together: a tenth of the time of `from_example`."""
    columns = ExamplesToRecordBatchDecoder().DecodeBatch(serialized)
    found = {name: columns.column(index) for index, name in enumerate(columns.schema.names)}
    task_columns = (task.text, task.text_pair, task.label)
    regression = task.type == "regression"
    return RowBatch(
        _strings(found[task.text]),
        None if task.text_pair is None else _strings(found[task.text_pair]),
        None if regression else _label_sets(found[task.label], len(serialized)),
        found[task.label].flatten().to_pylist() if regression else None,
        {name: _optional_strings(column) for name, column in found.items() if name not in task_columns},
    )


def _strings(column: pa.Array) -> list[str]:
    """The texts of a column that has one in every row."""
    texts: list[str] = column.flatten().cast(pa.large_string()).to_pylist()
    return texts


def _optional_strings(column: pa.Array) -> list[str | None]:
    """The texts of a column that has at most one in each row."""
    values = _strings(column) if column.type.value_type != pa.null() else []
    found: list[str | None] = [None] * len(column)
    # A missing value has no length, an empty one has length 0.
    present = np.flatnonzero(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    for row, value in zip(present.tolist(), values, strict=True):
        found[row] = value
    return found


def _label_sets(column: pa.Array, rows: int) -> list[tuple[str, ...]]:
    if column.type.value_type == pa.null():  # no row of the batch has a label
        return [()] * rows
    names = iter(_strings(column))
    lengths = column.value_lengths().fill_null(0).to_pylist()
    return [tuple(itertools.islice(names, length)) for length in lengths]


@contextmanager
def whole_file(target: str, temporary: str) -> Iterator[str]:
    """A path to write to in the folder `temporary`; the file gets its own name when it is complete.

    So nobody reads half of it, even if a runner tries the same work twice, or at the same time.
    """
    written = os.path.join(temporary, uuid.uuid4().hex)
    yield written
    tf.io.gfile.rename(written, target, overwrite=True)


def split_files(examples: types.Artifact, split: str) -> list[str]:
    """The files of a split, sorted."""
    folder = artifact_utils.get_split_uri([examples], split)
    return sorted(os.path.join(folder, name) for name in tf.io.gfile.listdir(folder))


def file_sizes(files: Iterable[str]) -> list[int]:
    """The bytes of each file."""
    return [tf.io.gfile.stat(file).length for file in files]


def set_row_counts(examples: types.Artifact, rows: Mapping[str, int]) -> None:
    """Notes the number of rows of each split."""
    examples.set_string_custom_property(_ROWS, to_json(dict(rows), ascii=True))


def row_count(examples: types.Artifact, splits: Iterable[str]) -> int | None:
    """The number of rows of some splits; None if it was not noted."""
    noted = examples.get_string_custom_property(_ROWS)
    counts: dict[str, int] = json.loads(noted) if noted else {}
    splits = list(splits)
    return sum(counts[split] for split in splits) if counts.keys() >= set(splits) else None


def read_split(examples: types.Artifact, split: str) -> Iterator[bytes]:
    """The serialized tf.Examples of a split, in the order in which they were written."""
    return itertools.chain.from_iterable(read_batches(split_files(examples, split)))


def read_row_batches(examples: types.Artifact, split: str, task: TaskConfig) -> Iterator[RowBatch]:
    """The rows of a split, in the order in which they were written."""
    return (from_examples(batch, task) for batch in read_batches(split_files(examples, split)))


def read_batches(files: Sequence[str]) -> Iterator[list[bytes]]:
    """The serialized tf.Examples of some files, in batches of a limited number of rows and bytes.

    A batch counts as done when the next is asked for, see `components.row_progress`.
    """
    dataset = tf.data.TFRecordDataset(list(files), "GZIP", buffer_size=1 << 20).batch(_READ_ROWS).prefetch(2)
    batch: list[bytes] = []
    size = 0
    for read in dataset.as_numpy_iterator():
        batch += read.tolist()
        size += sum(map(len, batch[-len(read) :]))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            count_rows(len(batch))
            batch, size = [], 0
    if batch:
        yield batch
        count_rows(len(batch))
