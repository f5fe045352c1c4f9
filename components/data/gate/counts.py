"""Counts of a split, for the rules of the data gate and for drift.

Texts are not kept, only a hash of 8 bytes each. Imports no TensorFlow.
"""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np

from components.data.rows import Record
from components.data.text_keys import TextReading
from models.config import TaskConfig
from tflite.host.json_text import to_json

# The number of example rows of a finding, and the characters shown of each.
SHOWN, _SHORT = 5, 80
# The number of distinct values of a column that are counted separately, and the length of the longest.
_COUNTED_VALUES, _LONGEST_VALUE = 10_000, 200

# The number of distinct texts up to which they count as few: too few to be split.
FEW_TEXTS = 20


class SplitFacts:
    """What the rules need to know about one split: about 20 bytes per row (pairs 40), plus the labels and values.

    Attributes:
        rows: number of rows.
        few_texts: hashes of the distinct texts (of pairs: both together), up to one more than `FEW_TEXTS`.
        labels: label to number of rows.
        label_rows: label to some of its rows, shortened.
        empty: text column to number of rows without text.
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
        self.empty_rows: dict[str, list[str]] = {}
        self.values: dict[str, Counter[str]] = {}
        self._codes: dict[tuple[str, ...], int] = {}
        self._keys, self._label_codes, self._numbers = array("Q"), array("q"), array("d")
        self._text_keys = {name: array("Q") for name in (task.text, task.text_pair) if name is not None}
        self._lengths = {name: array("q") for name in (task.text, task.text_pair) if name is not None}

    @property
    def keys(self) -> np.ndarray:
        """`Record.key` of every row, uint64 [rows]."""
        return np.asarray(self._keys)

    def text_keys(self, column: str) -> np.ndarray:
        """For pairs: the key of the text in one column of every row, uint64 [rows]."""
        return np.asarray(self._text_keys[column])

    @property
    def label_codes(self) -> np.ndarray:
        """A number for every row, int64 [rows]: equal if the labels are."""
        return np.asarray(self._label_codes)

    @property
    def numbers(self) -> np.ndarray:
        """The targets of a regression, float64 [rows]."""
        return np.asarray(self._numbers)

    def lengths(self, column: str) -> np.ndarray:
        """The number of characters in a text column, int64 [rows]."""
        return np.asarray(self._lengths[column])

    @property
    def distinct_targets(self) -> int:
        """The number of distinct targets: labels, sets of labels, or numbers."""
        return len(np.unique(self.numbers)) if self.task.type == "regression" else len(self._codes)

    def add(self, record: Record) -> None:
        """Counts a row."""
        self.rows += 1
        if len(self.few_texts) <= FEW_TEXTS:
            self.few_texts.add(hash(record.texts))
        if self.reading is not None:
            self._keys.append(record.key(self.reading))
            if record.text_pair is not None:
                for keys, one in zip(self._text_keys.values(), record.texts, strict=True):
                    keys.append(self.reading.key(one))
        if record.number is not None:
            self._numbers.append(record.number)
        else:
            self._label_codes.append(self._codes.setdefault(tuple(sorted(record.labels)), len(self._codes)))
        for label in record.labels:
            self.labels[label] += 1
            if len(shown := self.label_rows.setdefault(label, [])) < 2:
                shown.append(format_row(record))
        for column, text in ((self.task.text, record.text), (self.task.text_pair, record.text_pair)):
            if column is None or text is None:
                continue
            self._lengths[column].append(len(text))
            if not text or text.isspace():
                self.empty[column] += 1
                if len(shown := self.empty_rows.setdefault(column, [])) < SHOWN:
                    shown.append(f"row {self.rows:,} of {self.name}: {format_row(record)}")
        for column, value in record.others.items():
            values = self.values.setdefault(column, Counter())
            counted = value in values or (len(values) < _COUNTED_VALUES and len(value) <= _LONGEST_VALUE)
            values[value if counted else ""] += 1


def format_row(record: Record) -> str:
    """A row for a message, shortened: '"the text" -> label'."""
    target = ", ".join(record.labels) if record.number is None else f"{record.number:g}"
    return " + ".join(to_json(shorten(text)) for text in record.texts) + f" -> {shorten(target)}"


def shorten(text: str) -> str:
    """A text for a message: on one line, and not too long."""
    line = " ".join(text[: 4 * _SHORT].split())
    return line if len(line) <= _SHORT and len(text) <= 4 * _SHORT else line[: _SHORT - 1] + "…"
