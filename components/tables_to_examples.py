"""Tables as tf.Examples, split by split, with Beam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam

from components.beam_errors import encode_error
from components.config import DataConfig
from components.data.formats.readers import open_table
from components.data.rows import records
from components.data.splits import Source, split_names
from components.data.text_keys import TextReading
from components.tf_examples import to_example
from models.config import TaskConfig
from models.errors import TransomError

# If `dedupe` keeps one row of each text, it is that of the first of these splits.
_PRIORITY = ("test", "eval", "train")


class ReadTables(beam.PTransform):
    """The rows of all files as serialized tf.Examples, one collection per split.

    Args:
        reading: decides which texts are the same; None: all rows are kept.
    """

    def __init__(
        self, files: list[tuple[Source, Path]], data: DataConfig, task: TaskConfig, reading: TextReading | None
    ) -> None:
        super().__init__()
        self._files, self._data, self._task, self._reading = files, data, task, reading

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        # Grouping by the file's number lets runners with many workers read many files at once. Unlike a Reshuffle, it
        # keeps the order on one worker: the same data give the same examples in the same order.
        files = (
            pipeline
            | "Files" >> beam.Create(list(enumerate(self._files)), reshuffle=False)
            | "OnePerFile" >> beam.GroupByKey()
        )
        names = split_names(self._data)
        rows = files | "Read" >> beam.ParDo(_ReadTable(self._data.format, self._task, self._reading)).with_output_types(
            tuple[int, tuple[int, int, int, bytes]]
        )
        if self._reading is not None:
            rows = rows | "OneOfEachText" >> beam.CombinePerKey(min)
        return rows | "ToSplits" >> beam.FlatMap(_to_split).with_outputs(*names)


class _ReadTable(beam.DoFn):
    """(number, files) to (text key, (priority of the split, number of the file, number of the row, tf.Example)).

    The key is 0 if all rows are kept.
    """

    def __init__(self, configured: str, task: TaskConfig, reading: TextReading | None) -> None:
        self._format, self._task, self._reading = configured, task, reading

    def process(
        self, element: tuple[int, Iterable[tuple[Source, Path]]]
    ) -> Iterator[tuple[int, tuple[int, int, int, bytes]]]:
        number, files = element
        for source, path in files:
            try:
                for row, record in records(open_table(path, self._format), self._task):
                    # Beam's integers are signed.
                    key = 0 if self._reading is None else record.key(self._reading) - 2**63
                    rank = _PRIORITY.index(source.split(record, self._task))
                    yield key, (rank, number, row.number, to_example(record, self._task))
            except TransomError as error:
                raise encode_error(error) from error


def _to_split(element: tuple[int, tuple[int, int, int, bytes]]) -> Iterator[beam.pvalue.TaggedOutput]:
    rank, _, _, example = element[1]
    yield beam.pvalue.TaggedOutput(_PRIORITY[rank], example)
