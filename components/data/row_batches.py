"""Rows in batches, as the task reads them: what `Record` is for a row, column by column.

A table of plain text is converted by the column. Wherever something is unusual, the rows are read one by one with
`rows.records`, which defines what they mean and which errors they give. Imports no TensorFlow.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.data.formats.readers import NotPlainError, Table
from components.data.rows import Record, check_numbers, read_label, read_target, records
from components.data.values.cells import BadValueError, nearest_text
from components.data.values.numbers import NumberColumn
from models.config import TaskConfig

# The number of rows of a batch that are read one by one, and of distinct labels that are remembered.
_BATCH, _REMEMBERED = 2048, 100_000


@dataclass(frozen=True)
class RowBatch:
    """Some rows, in order; see `Record`.

    Attributes:
        texts, text_pairs: of each row; no `text_pairs` for a task about one text.
        labels: of each row; None for a regression.
        numbers: of each row; None unless for a regression.
        others: the other columns; None, or an empty text, where a row has no value.
    """

    texts: Sequence[str]
    text_pairs: Sequence[str] | None
    labels: Sequence[tuple[str, ...]] | None
    numbers: Sequence[float] | None
    others: Mapping[str, Sequence[str | None]]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of_records(cls, rows: Sequence[Record], task: TaskConfig) -> RowBatch:
        """The batch of some records."""
        names = dict.fromkeys(name for row in rows for name in row.others)
        return cls(
            [row.text for row in rows],
            None if task.text_pair is None else [row.text_pair or "" for row in rows],
            None if task.type == "regression" else [row.labels for row in rows],
            [row.number or 0.0 for row in rows] if task.type == "regression" else None,
            {name: [row.others.get(name) for row in rows] for name in names},
        )

    def record(self, index: int) -> Record:
        """One row."""
        return next(self.select([index]).records())

    def select(self, indices: Sequence[int]) -> RowBatch:
        """Some of the rows."""

        def chosen(values: Sequence[Any] | None) -> Any:
            return None if values is None else [values[index] for index in indices]

        return RowBatch(
            chosen(self.texts),
            chosen(self.text_pairs),
            chosen(self.labels),
            chosen(self.numbers),
            {name: chosen(values) for name, values in self.others.items()},
        )

    def records(self) -> Iterator[Record]:
        """The rows one by one."""
        return itertools.starmap(Record, self.values())

    def values(self) -> Iterator[tuple[str, str | None, tuple[str, ...], float | None, dict[str, str]]]:
        """The attributes of each row's `Record`."""
        nothing: list[None] = [None] * len(self)
        no_labels: list[tuple[str, ...]] = [()] * len(self)
        names = tuple(self.others)
        others = zip(*self.others.values(), strict=True) if names else no_labels
        for text, pair, labels, number, values in zip(
            self.texts,
            self.text_pairs or nothing,
            self.labels or no_labels,
            self.numbers or nothing,
            others,
            strict=True,
        ):
            present = {name: value for name, value in zip(names, values, strict=True) if value} if names else {}
            yield text, pair, labels, number, present


def row_batches(
    table: Table, task: TaskConfig, limit: int | None = None, units: Counter[str] | None = None
) -> Iterator[RowBatch]:
    """The same rows as `rows.records` in batches; its arguments, and its errors."""
    done = 0
    if limit is None:
        try:
            for batch in _plain_batches(table, task, units):
                yield batch
                done += len(batch)
            return
        except NotPlainError:
            pass
    rest = (record for _, record in itertools.islice(records(table, task, limit, units), done, None))
    while rows := list(itertools.islice(rest, _BATCH)):
        yield RowBatch.of_records(rows, task)


def _plain_batches(table: Table, task: TaskConfig, units: Counter[str] | None) -> Iterator[RowBatch]:
    """The rows by the column. Raises NotPlainError where they must be read one by one."""
    columns = [name for name in (task.text, task.text_pair, task.label) if name is not None]
    table.require(columns)
    numbers, labels = NumberColumn(), _Labels(task)
    for batch in table.column_batches(columns):
        try:
            yield RowBatch(
                _texts(batch, task.text),
                None if task.text_pair is None else _texts(batch, task.text_pair),
                None if task.type == "regression" else labels.read(batch[task.label]),
                _targets(batch[task.label], task, numbers) if task.type == "regression" else None,
                {name: _others(values) for name, values in batch.items() if name and name not in columns},
            )
        except BadValueError:
            raise NotPlainError from None
    if units is not None:
        units.update(numbers.units)
    check_numbers(table, task, numbers)


def _texts(batch: Mapping[str, Sequence[Any]], name: str) -> Sequence[str]:
    values = batch[name]
    types = set(map(type, values))
    if not types <= {str, type(None)} or not _is_unicode(values, types):
        raise NotPlainError
    return values if types == {str} else [value or "" for value in values]


def _is_unicode(values: Sequence[Any], types: set[type]) -> bool:
    """Whether UTF-8 can hold the texts: it cannot hold half of a surrogate pair."""
    text = "".join(values if types == {str} else filter(None, values))
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class _Labels:
    """The labels of cells; those of equal cells are read once."""

    def __init__(self, task: TaskConfig) -> None:
        self._task = task
        self._known: dict[str, tuple[str, ...]] = {}

    def read(self, values: Sequence[Any]) -> list[tuple[str, ...]]:
        """The labels of each cell. Raises BadValueError."""
        types = set(map(type, values))
        if types != {str}:  # 1, 1.0 and True are equal, but not the same label
            _refuse_bytes(types)
            return [read_label(value, self._task) for value in values]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        for value in set(values).difference(self._known):
            self._known[value] = read_label(value, self._task)
        return [self._known[value] for value in values]


def _targets(values: Sequence[Any], task: TaskConfig, numbers: NumberColumn) -> list[float]:
    _refuse_bytes(set(map(type, values)))
    return [read_target(value, task.decimal, numbers) for value in values]


def _refuse_bytes(types: set[type]) -> None:
    """Bytes must be UTF-8 in the task's columns, which is checked row by row."""
    if bytes in types:
        raise NotPlainError


def _others(values: Sequence[Any]) -> Sequence[str | None]:
    types = set(map(type, values))
    if types <= {str, type(None)} and _is_unicode(values, types):
        return values
    return [nearest_text(value) for value in values]
