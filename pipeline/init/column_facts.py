"""Facts about a column of an undescribed table: counts, lengths, numbers, lists."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from components.data.formats.readers import Row
from components.data.values.cells import as_text, describe_non_text
from components.data.values.numbers import NumberColumn, read_number
from components.data.values.written_lists import parse_bare_list, parse_list
from models.label_names import MISSING_WORDS, label_name

# Distinct values that are counted, and the most characters of a value that may be a label.
_VALUES, LONGEST_LABEL = 5_000, 200
# How people write a missing number; then the largest shares of missing numbers and of mistakes in a numeric column.
MISSING = MISSING_WORDS | {"none", "-", "--", "?", ".", "unknown", "missing"}
_MOST_MISSING, _MOST_MISTAKES = 0.3, 0.02
# Tokens of values that are longer than names of labels; the different values and the repetitions of sentences that
# recur, which labels have fewer and more of.
_SENTENCE, _FEW_VALUES, _MANY_REPEATS = 6.5, 10, 20


@dataclass
class ColumnFacts:
    """Facts about one column.

    Attributes:
        rows: values that are not missing.
        counts: value to rows, up to five thousand short values.
        distinct: hashes of all values.
        lengths: characters of each value.
        unspaced: number of values in ASCII without a space: addresses, file names.
        tokens: an estimate of each value's tokens: words and ideographs, and a third for pieces of words.
        lists: number of values that are lists.
        written: number of lists written as text; `items` maps what they contain to rows.
        number_column: the decimal mark and the unit of the numbers among the values.
        non_numbers: values that are not numbers, to rows.
        fractions: whether any number is not whole.
        non_text: the kind of the first value that is not text, in `non_text_row`; empty if all are text.
    """

    name: str
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    distinct: set[int] = field(default_factory=set)
    lengths: list[int] = field(default_factory=list)
    unspaced: int = 0
    tokens: list[int] = field(default_factory=list)
    lists: int = 0
    written: int = 0
    items: Counter[str] = field(default_factory=Counter)
    number_column: NumberColumn = field(default_factory=NumberColumn)
    non_numbers: Counter[str] = field(default_factory=Counter)
    fractions: bool = False
    non_text: str = ""
    non_text_row: Row | None = None

    def observe(self, value: Any, row: Row) -> None:
        """Counts a value of a row, and remembers the first that is not text."""
        if not self.non_text and not isinstance(value, str) and (kind := describe_non_text(value)):
            self.non_text, self.non_text_row = kind, row
        self.add(value)

    def add(self, value: Any) -> None:
        """Counts a value, unless it is missing or empty."""
        items = value if isinstance(value, list) else [value]
        texts = [text.strip() for item in items if (text := as_text(item))]
        self.lists += isinstance(value, list)
        if not any(texts):
            return
        text = "\n".join(texts)
        self.rows += 1
        self.distinct.add(hash(text))
        self.lengths.append(len(text))
        self.unspaced += text.isascii() and len(text.split(None, 1)) < 2
        self.tokens.append(_estimate_tokens(text))
        _count(self.counts, texts)
        self._add_list(text)
        self._add_number(value, text)

    def _add_list(self, text: str) -> None:
        """Counts the items of a list that is written as text."""
        items = parse_list(text)
        listed = parse_bare_list(text) if items is None else [as_text(item) or "" for item in items]
        if listed is not None:
            self.written += 1
            _count(self.items, listed)

    def _add_number(self, value: Any, text: str) -> None:
        reading = read_number(text)
        if reading is None:
            if len(self.non_numbers) < _VALUES:
                self.non_numbers[text[:LONGEST_LABEL]] += 1
            return
        if isinstance(value, str):
            self.number_column.add(text, reading)
        else:
            self.number_column.rows += 1
        self.fractions = self.fractions or not any(number.is_integer() for number in reading.by_mark.values())

    @property
    def numbers(self) -> bool:
        """Whether the values are numbers, except for a few mistakes and missing ones ("n/a")."""
        missing = sum(rows for value, rows in self.non_numbers.items() if value.casefold() in MISSING)
        mistakes = self.rows - self.number_column.rows - missing
        return missing <= self.rows * _MOST_MISSING and mistakes <= self.rows * _MOST_MISTAKES

    @property
    def listed(self) -> bool:
        """Whether the values are lists, or lists written as text."""
        return self.lists > 0 or (0 < self.written == self.rows and self.items.total() > len(self.items))

    @property
    def mean_length(self) -> float:
        """In characters."""
        return sum(self.lengths) / max(1, self.rows)

    @property
    def repeats(self) -> float:
        """Rows per distinct value."""
        return self.rows / max(1, len(self.distinct))

    @property
    def textual(self) -> bool:
        """Whether this could be the text: not numbers, more than a word, and not the same few values repeated."""
        wordy = sum(self.tokens) / max(1, self.rows) >= 3
        return (
            self.rows > 0
            and not self.numbers
            and not self.listed
            and not self.non_text
            and wordy
            and (self.repeats < 5 or self.mean_length > 60)
        )

    @property
    def sentences(self) -> bool:
        """Whether this is certainly text: `textual`, and the values are not addresses."""
        return self.textual and self.unspaced < self.rows / 2

    @property
    def recurring_sentences(self) -> bool:
        """Whether the values are longer than names of labels, and each is in several rows, as a text of pairs is."""
        wordy = sum(self.tokens) >= _SENTENCE * max(1, self.rows) and self.unspaced < self.rows / 2
        kind = not self.numbers and not self.listed and not self.non_text
        return kind and wordy and len(self.distinct) > _FEW_VALUES and 2 <= self.repeats < _MANY_REPEATS


def _estimate_tokens(text: str) -> int:
    head = text[:2_000]
    ideographs = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]", head))
    words = len(re.findall(r"[^\W_]+|[^\w\s]", head)) if ideographs < len(head) / 4 else 0
    return math.ceil((ideographs + words * 1.3) * len(text) / max(1, len(head)))


def _count(counts: Counter[str], texts: Iterable[str]) -> None:
    for text in texts:
        name = label_name(text) if len(text) <= LONGEST_LABEL else ""
        if name and (name in counts or len(counts) < _VALUES):
            counts[name] += 1
