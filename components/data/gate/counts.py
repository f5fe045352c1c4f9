"""Counts of a split, for the rules of the data gate and for drift.

Texts are not kept, only a hash of 8 bytes each. Imports no TensorFlow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.data.text_keys import TextReading
from models.config import TaskConfig
from tflite.host.json_text import to_json

# The number of example rows of a finding, and the characters shown of each.
SHOWN, _SHORT = 5, 80
_LABEL_ROWS = 2
# The number of distinct values of a column that are counted separately, and the length of the longest.
_COUNTED_VALUES, _LONGEST_VALUE = 10_000, 200

# The number of distinct texts up to which they count as few: too few to be split.
FEW_TEXTS = 20


class SplitFacts:
    """What the rules need to know about one split: about 16 bytes per row (pairs 36), plus the labels and values.

    Parts of a split can be counted apart, on several machines, and added up in their order.

    Attributes:
        rows: number of rows.
        few_texts: hashes of the distinct texts (of pairs: both together), up to one more than `FEW_TEXTS`.
        labels: label to number of rows.
        label_rows: label to some of its rows, shortened.
        empty: text column to number of rows without text.
        empty_rows: text column to some of these rows: their numbers from 0, and the rows, shortened.
        values: other column to value to number of rows; "" stands for all long values, and for those after the first
            ten thousand distinct ones.
    """

    def __init__(self, name: str, task: TaskConfig, reading: TextReading | None = None) -> None:
        """`reading`: decides which texts are the same; without it they are not compared."""
        self.name, self.task, self.reading = name, task, reading
        self.rows = 0
        self.few_texts: set[int] = set()
        self.labels: Counter[str] = Counter()
        self.label_rows: dict[str, list[str]] = {}
        self.empty: Counter[str] = Counter()
        self.empty_rows: dict[str, list[tuple[int, str]]] = {}
        self.values: dict[str, Counter[str]] = {}
        self._codes: dict[tuple[str, ...], int] = {}
        texts = [name for name in (task.text, task.text_pair) if name is not None]
        self._keys, self._label_codes, self._numbers = _Column(np.uint64), _Column(np.int32), _Column(np.float64)
        self._text_keys = {name: _Column(np.uint64) for name in texts}
        self._lengths = {name: _Column(np.int32) for name in texts}

    @property
    def keys(self) -> np.ndarray:
        """`Record.key` of every row, uint64 [rows]."""
        return self._keys.whole()

    def text_keys(self, column: str) -> np.ndarray:
        """For pairs: the key of the text in one column of every row, uint64 [rows]."""
        return self._text_keys[column].whole()

    @property
    def label_codes(self) -> np.ndarray:
        """A number for every row, int32 [rows]: equal if the labels are."""
        return self._label_codes.whole()

    @property
    def numbers(self) -> np.ndarray:
        """The targets of a regression, float64 [rows]."""
        return self._numbers.whole()

    def lengths(self, column: str) -> np.ndarray:
        """The number of characters in a text column, int32 [rows]."""
        return self._lengths[column].whole()

    @property
    def distinct_targets(self) -> int:
        """The number of distinct targets: labels, sets of labels, or numbers."""
        return len(np.unique(self.numbers)) if self.task.type == "regression" else len(self._codes)

    def add(self, rows: RowBatch) -> None:
        """Counts some rows."""
        columns = {self.task.text: rows.texts}
        if self.task.text_pair is not None and rows.text_pairs is not None:
            columns[self.task.text_pair] = rows.text_pairs
        if len(self.few_texts) <= FEW_TEXTS:
            for row in dict.fromkeys(zip(*columns.values(), strict=True)):
                self._add_few(_hash_of(row))
        if self.reading is not None:
            self._keys.append(self.reading.keys(*columns.values()))
            for column, texts in columns.items() if rows.text_pairs is not None else ():
                self._text_keys[column].append(self.reading.keys(texts))
        if rows.numbers is not None:
            self._numbers.append(rows.numbers)
        if rows.labels is not None:
            self._add_labels(rows, rows.labels)
        for column, texts in columns.items():
            self._lengths[column].append(list(map(len, texts)))
            empty = [index for index, text in enumerate(texts) if not text or text.isspace()]
            if empty:
                self.empty[column] += len(empty)
                shown = [(self.rows + index, format_row(rows.record(index))) for index in empty[:SHOWN]]
                self._show_empty(column, shown)
        for column, given in rows.others.items():
            self._add_values(column, Counter(value for value in given if value))
        self.rows += len(rows)

    def merge(self, later: SplitFacts) -> None:
        """Adds the counts of the rows that follow."""
        for key in later.few_texts:
            self._add_few(key)
        codes = [self._codes.setdefault(labels, len(self._codes)) for labels in later._codes]
        self._label_codes.append(np.array(codes, np.int32)[later.label_codes])
        for own, other in (
            (self._keys, later._keys),
            (self._numbers, later._numbers),
            *((self._text_keys[name], later._text_keys[name]) for name in self._text_keys),
            *((self._lengths[name], later._lengths[name]) for name in self._lengths),
        ):
            own.append(other.whole())
        self.labels += later.labels
        for label, shown in later.label_rows.items():
            self._show_label(label, shown)
        self.empty += later.empty
        for column, rows in later.empty_rows.items():
            self._show_empty(column, [(self.rows + number, row) for number, row in rows])
        for column, counts in later.values.items():
            self._add_values(column, counts)
        self.rows += later.rows

    def _add_few(self, key: int) -> None:
        if len(self.few_texts) <= FEW_TEXTS:
            self.few_texts.add(key)

    def _add_labels(self, rows: RowBatch, labels: Sequence[tuple[str, ...]]) -> None:
        counts = Counter(labels)
        codes = {given: self._codes.setdefault(tuple(sorted(given)), len(self._codes)) for given in counts}
        self._label_codes.append([codes[given] for given in labels])
        for given, count in counts.items():
            for label in given:
                self.labels[label] += count
        new = {label for given in counts for label in given if len(self.label_rows.get(label, ())) < _LABEL_ROWS}
        for index, given in enumerate(labels) if new else ():
            for label in new.intersection(given):
                self._show_label(label, [format_row(rows.record(index))])
                if len(self.label_rows[label]) == _LABEL_ROWS:
                    new.discard(label)

    def _show_label(self, label: str, rows: Sequence[str]) -> None:
        shown = self.label_rows.setdefault(label, [])
        shown += rows[: _LABEL_ROWS - len(shown)]

    def _show_empty(self, column: str, rows: Sequence[tuple[int, str]]) -> None:
        shown = self.empty_rows.setdefault(column, [])
        shown += rows[: SHOWN - len(shown)]

    def _add_values(self, column: str, counts: Counter[str]) -> None:
        values = self.values.setdefault(column, Counter())
        for value, count in counts.items():
            counted = value in values or (len(values) < _COUNTED_VALUES and len(value) <= _LONGEST_VALUE)
            values[value if counted else ""] += count


class _Column:
    """A growing array."""

    def __init__(self, dtype: type) -> None:
        self._dtype = dtype
        self._parts: list[np.ndarray] = []

    def append(self, values: Sequence[Any] | np.ndarray) -> None:
        self._parts.append(np.asarray(values, self._dtype))

    def whole(self) -> np.ndarray:
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty(0, self._dtype), *self._parts])]
        return self._parts[0]


def _hash_of(texts: tuple[str, ...]) -> int:
    """A hash that is the same in every process, unlike `hash`."""
    whole = "\n".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little")


def format_row(record: Record) -> str:
    """A row for a message, shortened: '"the text" -> label'."""
    target = ", ".join(record.labels) if record.number is None else f"{record.number:g}"
    return " + ".join(to_json(shorten(text)) for text in record.texts) + f" -> {shorten(target)}"


def shorten(text: str) -> str:
    """A text for a message: on one line, and not too long."""
    line = " ".join(text[: 4 * _SHORT].split())
    return line if len(line) <= _SHORT and len(text) <= 4 * _SHORT else line[: _SHORT - 1] + "…"
