"""What is seen of a column of a table that nobody has described: counts, lengths, numbers, lists."""

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
from models.label_names import label_name

# Values that are counted one by one, and characters of a value that may be a label.
_VALUES, LONGEST_LABEL = 5_000, 200
# How people write that there is no number. The shares of a column that may say so, or be mistakes, where the rest are
# numbers.
NOTHING = {"n/a", "#n/a", "na", "nan", "none", "null", "nil", "-", "--", "?", ".", "unknown", "missing", "#div/0!"}
NOTHING |= {"\\n", "<na>", "nat", "n.a.", "(null)", "(blank)", "#value!", "#ref!", "#name?", "#num!", "#null!"}
_MOST_NOTHING, _MOST_MISTAKES = 0.3, 0.02


@dataclass
class Column:
    """What was seen of one column.

    Attributes:
        rows: values that are not missing.
        counts: value to rows, up to five thousand short values.
        distinct: hashes of all values.
        lengths: characters of each value.
        tokens: an estimate of each value's tokens: words and ideographs, and a third for pieces of words.
        lists: values that are lists.
        written: values that are lists written as text, and `items`, what stands in them, to rows.
        figures: what the numbers among the values say of their decimal mark and unit.
        strays: values that are no numbers, to rows.
        fractions: a number at least is no whole one.
        strange: what the first value is that is not text, in `strange_row`; empty where all are text.
    """

    name: str
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    distinct: set[int] = field(default_factory=set)
    lengths: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    lists: int = 0
    written: int = 0
    items: Counter[str] = field(default_factory=Counter)
    figures: NumberColumn = field(default_factory=NumberColumn)
    strays: Counter[str] = field(default_factory=Counter)
    fractions: bool = False
    strange: str = ""
    strange_row: Row | None = None

    def see(self, value: Any, row: Row) -> None:
        """Counts a value of a row, and keeps in mind the first that is not text."""
        if not self.strange and not isinstance(value, str) and (strange := describe_non_text(value)):
            self.strange, self.strange_row = strange, row
        self.add(value)

    def add(self, value: Any) -> None:
        """Counts a value; missing ones (empty ones too) are not counted."""
        items = value if isinstance(value, list) else [value]
        texts = [text.strip() for item in items if (text := as_text(item))]
        self.lists += isinstance(value, list)
        if not any(texts):
            return
        text = "\n".join(texts)
        self.rows += 1
        self.distinct.add(hash(text))
        self.lengths.append(len(text))
        self.tokens.append(_estimate_tokens(text))
        _count(self.counts, texts)
        self._add_list(text)
        self._add_number(value, text)

    def _add_list(self, text: str) -> None:
        """What a list holds that was written as text."""
        items = parse_list(text)
        listed = parse_bare_list(text) if items is None else [as_text(item) or "" for item in items]
        if listed is not None:
            self.written += 1
            _count(self.items, listed)

    def _add_number(self, value: Any, text: str) -> None:
        reading = read_number(text)
        if reading is None:
            if len(self.strays) < _VALUES:
                self.strays[text[:LONGEST_LABEL]] += 1
            return
        if isinstance(value, str):
            self.figures.add(text, reading)
        else:
            self.figures.rows += 1
        self.fractions = self.fractions or not any(number.is_integer() for number in reading.by_mark.values())

    @property
    def numbers(self) -> bool:
        """Its values are numbers, but for a few that are mistakes or say that there is none ("n/a")."""
        nothing = sum(rows for value, rows in self.strays.items() if value.casefold() in NOTHING)
        mistakes = self.rows - self.figures.rows - nothing
        return nothing <= self.rows * _MOST_NOTHING and mistakes <= self.rows * _MOST_MISTAKES

    @property
    def listed(self) -> bool:
        """Its values are lists, or were when they were written as text."""
        return self.lists > 0 or (0 < self.written == self.rows and self.items.total() > len(self.items))

    @property
    def mean_length(self) -> float:
        """Characters."""
        return sum(self.lengths) / max(1, self.rows)

    @property
    def repeats(self) -> float:
        """Rows for each distinct value."""
        return self.rows / max(1, len(self.distinct))

    @property
    def textual(self) -> bool:
        """It could be what is read: no numbers, more than a word, and not the same few values again and again."""
        wordy = sum(self.tokens) / max(1, self.rows) >= 3
        return (
            self.rows > 0
            and not self.numbers
            and not self.listed
            and not self.strange
            and wordy
            and (self.repeats < 5 or self.mean_length > 60)
        )


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
