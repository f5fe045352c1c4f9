"""Tables as tf.Examples, shard by shard, with Beam.

A shard is one element of Beam's: a part of a large file, or several small files. Whoever reads it writes it, into one
file for each split, so that rows stay in order and never pass through Beam. The shards depend only on the tables: the
same tables give the same files on every runner, with any number of workers.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.beam_errors import encode_error
from components.data.formats.readers import Span, open_table
from components.data.row_batches import RowBatch, row_batches
from components.data.rows import records
from components.data.splits import Source
from components.data.text_keys import TextReading
from components.tf_examples import RECORD_OPTIONS, to_examples
from models.config import TaskConfig
from models.errors import TransomError

SHARD_BYTES = 32 * 2**20
# If `dedupe` keeps one row of each text, it is that of the first of these splits.
_PRIORITY = ("test", "eval", "train")


@dataclass(frozen=True)
class Part:
    """A file, or a part of it, and where its rows go."""

    source: Source
    path: Path
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
    for source, path in files:
        if path.stat().st_size < size:
            small.append(Part(source, path))
            if sum(part.path.stat().st_size for part in small) >= size:
                shards.append(tuple(small))
                small = []
            continue
        shards += [tuple(small)] if small else []
        small = []
        spans = [None] if task.type == "regression" else open_table(path, configured).spans(size)
        shards += [(Part(source, path, span),) for span in spans]
    return [*shards, tuple(small)] if small else shards


class WriteExamples(beam.PTransform):
    """Writes the rows of the shards as serialized tf.Examples.

    Args:
        reading: decides which texts are the same, of which one row is kept; None: all rows are kept.
        targets: split to its folder.
        temporary: a folder for files that are being written, in the same file system.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        configured: str,
        task: TaskConfig,
        reading: TextReading | None,
        targets: Mapping[str, str],
        temporary: str,
    ) -> None:
        super().__init__()
        self._shards, self._reading = shards, reading
        self._read = _Reading(configured, task)
        self._targets, self._temporary = targets, temporary

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        # Grouping by the shard's number lets runners with many workers read many shards at once.
        numbered = (
            pipeline
            | "Shards" >> beam.Create(list(enumerate(self._shards)), reshuffle=False).with_output_types(tuple[int, Any])
            | "OnePerShard" >> beam.GroupByKey()
        )
        grouped = {"shard": numbered}
        if self._reading is not None:
            grouped["kept"] = (
                numbered
                | "Keys" >> beam.ParDo(_TextKeys(self._read, self._reading, len(self._shards)))
                | "SameKeys" >> beam.GroupByKey()
                | "First" >> beam.FlatMap(_first_of_each).with_output_types(tuple[int, Any])
            )
        names = f"data_tfrecord-{{:05d}}-of-{len(self._shards):05d}.gz"
        write = _WriteShard(self._read, self._targets, self._temporary, names)
        return grouped | "Group" >> beam.CoGroupByKey() | "Write" >> beam.ParDo(write)


@dataclass(frozen=True)
class _Reading:
    """Reads the rows of shards, with errors that pass through Beam."""

    format: str
    task: TaskConfig

    def batches(self, shards: Iterable[Shard]) -> Iterator[tuple[Source, RowBatch]]:
        for part in (part for shard in shards for part in shard):
            try:
                table = open_table(part.path, self.format, part.span)
                for batch in row_batches(table, self.task):
                    yield part.source, batch
            except TransomError as error:
                raise encode_error(self._whole_error(part) or error) from error

    def _whole_error(self, part: Part) -> TransomError | None:
        """The error of the whole file: that of a part counts rows, lines and bytes from the part's beginning."""
        try:
            for _ in records(open_table(part.path, self.format), self.task) if part.span else ():
                pass
        except TransomError as error:
            return error
        return None


class _TextKeys(beam.DoFn):
    """(number, shards) to (remainder of the keys, (number, places of the rows, their ranks, their keys))."""

    def __init__(self, read: _Reading, reading: TextReading, parts: int) -> None:
        self._read, self._reading, self._parts = read, reading, parts

    def process(self, element: tuple[int, Iterable[Shard]]) -> Iterator[tuple[int, tuple[int, Any, Any, Any]]]:
        number, shards = element
        keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint8)]
        for source, batch in self._read.batches(shards):
            columns = [batch.texts, batch.text_pairs] if batch.text_pairs is not None else [batch.texts]
            keys.append(self._reading.keys(*columns))
            splits = source.splits(batch, self._read.task)
            ranks.append(np.array([_PRIORITY.index(split) for split in splits], np.uint8))
        key, rank = np.concatenate(keys), np.concatenate(ranks)
        remainder = key % np.uint64(self._parts)
        for part in range(self._parts):
            places = np.flatnonzero(remainder == part)
            yield part, (number, places, rank[places], key[places])


def _first_of_each(element: tuple[int, Iterable[tuple[int, Any, Any, Any]]]) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each shard with the places of the rows to keep: of each key the one of the first split and row."""
    found = list(element[1])
    shards = np.concatenate([np.full(len(places), number) for number, places, _, _ in found])
    places, ranks, keys = (np.concatenate([parts[index] for parts in found]) for index in (1, 2, 3))
    order = np.lexsort((places, shards, ranks, keys))
    first = order[np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)))]
    for number in np.unique(shards):
        yield int(number), places[first[shards[first] == number]]


class _WriteShard(beam.DoFn):
    """(number, its shards and places of the rows to keep) to one file in each split's folder."""

    def __init__(self, read: _Reading, targets: Mapping[str, str], temporary: str, names: str) -> None:
        self._read, self._targets, self._temporary, self._names = read, targets, temporary, names

    def process(self, element: tuple[int, Mapping[str, Any]]) -> Iterator[None]:
        number, grouped = element
        kept = np.concatenate([np.empty(0, np.int64), *grouped["kept"]]) if "kept" in grouped else None
        shards = [shard for group in grouped["shard"] for shard in group]
        tf.io.gfile.makedirs(self._temporary)
        # A name of its own: a runner may try a shard twice, at the same time even.
        written = {split: os.path.join(self._temporary, f"{split}-{uuid.uuid4().hex}") for split in self._targets}
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(tf.io.TFRecordWriter(path, RECORD_OPTIONS))
                for split, path in written.items()
            }
            row = 0
            for source, batch in self._read.batches(shards):
                splits = source.splits(batch, self._read.task)
                chosen = None if kept is None else set(kept[(kept >= row) & (kept < row + len(batch))].tolist())
                for place, (split, example) in enumerate(
                    zip(splits, to_examples(batch, self._read.task), strict=True), row
                ):
                    if chosen is None or place in chosen:
                        writers[split].write(example)
                row += len(batch)
        for split, path in written.items():
            tf.io.gfile.makedirs(self._targets[split])
            tf.io.gfile.rename(path, os.path.join(self._targets[split], self._names.format(number)), overwrite=True)
        yield from ()
