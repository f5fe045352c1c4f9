"""Counts over the rows as a run reads them: labels, numbers, repeated texts."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from components.data.formats.readers import open_table
from components.data.rows import Record, records
from components.data.text_keys import TextReading
from models.config import TokenizerConfig
from models.errors import DataError
from pipeline.init.task_inference import InferredTask

# The most rows that are counted, and the most characters: these take about four seconds (one that is not ASCII takes
# as long as twelve that are).
_MOST_ROWS, _MOST_CHARACTERS, _SLOW_CHARACTER = 200_000, 40_000_000, 12


@dataclass
class TableCounts:
    """Counts over a table's first rows.

    Attributes:
        rows: number of rows counted; `whole` says whether that is all of them.
        labels: label to number of rows; empty for a regression.
        numbers: the targets of a regression.
        repeated: rows whose texts are exactly those of an earlier row.
        read_alike: further rows whose texts are those of an earlier row to a tokenizer that ignores case and accents.
        conflicting: rows whose text occurs with another label, too; 0 for a regression, whose scores may differ.
    """

    rows: int = 0
    whole: bool = True
    labels: Counter[str] = field(default_factory=Counter)
    numbers: array[float] = field(default_factory=lambda: array("d"))
    repeated: int = 0
    read_alike: int = 0
    conflicting: int = 0


def count_rows(inferred: InferredTask) -> TableCounts:
    """Counts the rows up to the first that the run would refuse, or up to a bound that keeps this fast."""
    task = inferred.task_config
    reading = TextReading.of_tokenizer(TokenizerConfig())
    counts, targets = TableCounts(), _Targets()
    exact: set[int] = set()
    budget = _MOST_CHARACTERS
    try:
        for _, record in records(open_table(inferred.table.path), task):
            if counts.rows == _MOST_ROWS or budget < 0:
                counts.whole = False
                break
            counts.rows += 1
            counts.labels.update(record.labels)
            if record.number is not None:
                counts.numbers.append(record.number)
            budget -= sum(len(text) * (1 if text.isascii() else _SLOW_CHARACTER) for text in record.texts)
            key, before = hash(record.texts), len(exact)
            exact.add(key)
            seen = targets.add(record.key(reading), record)
            counts.repeated += len(exact) == before
            counts.read_alike += seen and len(exact) > before
    except DataError:  # the caller reports what the run would say about these rows
        counts.whole = False
    counts.conflicting = 0 if inferred.task == "regression" else targets.conflicting()
    return counts


class _Targets:
    """The labels with which each text occurs."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[str, ...]] = {}
        self._rows: Counter[int] = Counter()  # of texts that occur more than once
        self._conflicting: set[int] = set()

    def add(self, key: int, record: Record) -> bool:
        """Counts a row; returns whether its text has occurred before."""
        target = tuple(sorted(record.labels))
        if key not in self._first:
            self._first[key] = target
            return False
        self._rows[key] += 1
        if self._first[key] != target:
            self._conflicting.add(key)
        return True

    def conflicting(self) -> int:
        return sum(1 + self._rows[key] for key in self._conflicting)
