"""Tables as tf.Examples, shard by shard.

A shard is a part of a large file, or several small files. Whoever reads it writes it, into one file for each split, so
that rows stay in order. The shards depend only on the tables: the same tables give the same files on every runner, with
any number of workers.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.data.formats.readers import Span, open_table
from components.data.row_batches import RowBatch, row_batches
from components.data.rows import records
from components.data.splits import Source
from components.data.text_keys import TextReading
from components.gathered import Gatherer
from components.row_progress import count_rows
from components.tf_examples import RECORD_OPTIONS, to_examples, whole_file
from models.config import TaskConfig
from models.errors import DataError, TransomError

SHARD_BYTES = 32 * 2**20
# If `dedupe` keeps one row of each text, it is that of the first of these splits.
_PRIORITY = ("test", "eval", "train")


@dataclass(frozen=True)
class Part:
    """A file, or a part of it, and where its rows go; `size`: its bytes, of a part about."""

    source: Source
    path: Path
    size: int
    span: Span | None = None


Shard = tuple[Part, ...]


def plan_shards(
    files: Sequence[tuple[Source, Path]], configured: str, task: TaskConfig, size: int = SHARD_BYTES
) -> list[Shard]:
    """Divides the tables into shards of about `size` bytes, in order.

    The tables of a regression are not divided: only a whole column tells what "1,000" means.

    Raises:
        DataError: a table cannot be opened.
    """
    shards: list[Shard] = []
    small: list[Part] = []
    taken = 0
    for source, path in files:
        bytes_of_file = path.stat().st_size
        if bytes_of_file < size:
            small.append(Part(source, path, bytes_of_file))
            taken += bytes_of_file
            if taken >= size:
                shards.append(tuple(small))
                small, taken = [], 0
            continue
        shards += [tuple(small)] if small else []
        small, taken = [], 0
        spans = [None] if task.type == "regression" else open_table(path, configured).spans(size)
        shards += [(Part(source, path, bytes_of_file // len(spans), span),) for span in spans]
    return [*shards, tuple(small)] if small else shards


def write_examples(
    shards: Sequence[Shard],
    configured: str,
    task: TaskConfig,
    reading: TextReading | None,
    targets: Mapping[str, str],
    gatherer: Gatherer,
) -> dict[str, int]:
    """Writes the rows of the shards as serialized tf.Examples; returns the number of rows of each split.

    Args:
        reading: decides which texts are the same, of which one row is kept; None: all rows are kept.
        targets: split to its folder.

    Raises:
        DataError: a row cannot be read.
    """
    read, sizes = _Reading(configured, task), [sum(part.size for part in shard) for shard in shards]
    kept: list[str | None] = [None] * len(shards)
    if reading is not None:
        keys = gatherer.gather(shards, partial(_text_keys, read=read, reading=reading), sizes, what="compared")
        kept = [_store(rows, gatherer.temporary) for rows in _first_of_each(list(keys))]
    for folder in targets.values():
        tf.io.gfile.makedirs(folder)
    names = (f"data_tfrecord-{number:05d}-of-{len(shards):05d}.gz" for number in range(len(shards)))
    write = partial(_write_shard, read=read, targets=dict(targets), temporary=gatherer.temporary)
    counts = dict.fromkeys(targets, 0)
    for written in gatherer.gather(list(zip(names, shards, kept, strict=True)), write, sizes):
        counts = {split: rows + written[split] for split, rows in counts.items()}
    return counts


@dataclass(frozen=True)
class _Reading:
    """Reads the rows of a shard."""

    format: str
    task: TaskConfig

    def batches(self, shard: Shard) -> Iterator[tuple[Source, RowBatch]]:
        for part in shard:
            try:
                table = open_table(part.path, self.format, part.span)
                for batch in row_batches(table, self.task):
                    yield part.source, batch
                    count_rows(len(batch))
            except TransomError as error:
                whole = self._whole_error(part)
                if whole is None:
                    raise
                raise whole from error

    def _whole_error(self, part: Part) -> TransomError | None:
        """The error of the whole file: that of a part counts rows, lines and bytes from the part's beginning."""
        try:
            for _ in records(open_table(part.path, self.format), self.task) if part.span else ():
                pass
        except TransomError as error:
            return error
        return None


def _text_keys(shard: Shard, read: _Reading, reading: TextReading) -> tuple[np.ndarray, np.ndarray]:
    """The key of each row's texts, uint64 [rows], and the rank of its split, uint8 [rows]."""
    keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint8)]
    for source, batch in read.batches(shard):
        columns = [batch.texts] if batch.text_pairs is None else [batch.texts, batch.text_pairs]
        keys.append(reading.keys(*columns))
        splits = source.splits(batch, read.task)
        ranks.append(np.array([_PRIORITY.index(split) for split in splits], np.uint8))
    return np.concatenate(keys), np.concatenate(ranks)


def _first_of_each(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Of each key the row to keep, that of the first split and row: for each shard, bool [rows]."""
    keys, ranks = (np.concatenate([part[index] for part in found]) for index in (0, 1))
    order = np.lexsort((np.arange(len(keys)), ranks, keys))
    keys = keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    kept = np.zeros(len(keys), bool)
    kept[order[first]] = True
    return np.split(kept, np.cumsum([len(part[0]) for part in found])[:-1])


def _store(rows: np.ndarray, folder: str) -> str:
    """Writes the rows to keep into a file, and returns its name: they are too many to pass through Beam."""
    path = os.path.join(folder, f"kept-{uuid.uuid4().hex}")
    with tf.io.gfile.GFile(path, "wb") as stream:
        stream.write(rows.tobytes())
    return path


def _load(path: str) -> np.ndarray:
    with tf.io.gfile.GFile(path, "rb") as stream:
        return np.frombuffer(stream.read(), bool)


def _write_shard(
    item: tuple[str, Shard, str | None], read: _Reading, targets: Mapping[str, str], temporary: str
) -> dict[str, int]:
    """Writes the rows of a shard, those to keep, into a file of this name in each split's folder; counts them."""
    name, shard, stored = item
    kept = None if stored is None else _load(stored)
    with ExitStack() as stack:
        writers, rows = {}, dict.fromkeys(targets, 0)
        for split, folder in targets.items():
            path = stack.enter_context(whole_file(os.path.join(folder, name), temporary))
            writers[split] = stack.enter_context(tf.io.TFRecordWriter(path, RECORD_OPTIONS))
        begin = 0
        for source, batch in read.batches(shard):
            chosen = np.ones(len(batch), bool) if kept is None else kept[begin : begin + len(batch)]
            if len(chosen) < len(batch):
                raise DataError(
                    f"{shard[-1].path} changed while being read",
                    got="more rows than before",
                    expected="files that nobody writes to",
                    fix="run again when they are complete",
                )
            splits = source.splits(batch, read.task)
            for split, example, wanted in zip(splits, to_examples(batch, read.task), chosen.tolist(), strict=True):
                if wanted:
                    writers[split].write(example)
                    rows[split] += 1
            begin += len(batch)
    return rows
