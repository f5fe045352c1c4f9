"""Whether the labels of an undescribed table are about two texts, where neither names nor common words say so.

Texts that recur tell: if the rows with the same text have as different labels as any rows, and those with the same two
texts do not, the label is about both.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from statistics import fmean

from components.data.formats.readers import Table
from components.data.values.cells import as_text
from models.errors import DataError
from pipeline.init.column_facts import ColumnFacts
from pipeline.init.label_column import dated, name_parts
from pipeline.init.table_words import shorten
from pipeline.init.text_columns import ALONE, text_words

# The most rows that are read for this, and the most characters.
_MOST_ROWS, _MOST_CHARACTERS = 200_000, 40_000_000
# Labels are compared in at least so many rows that repeat a text, and in at least this share of all rows.
_LEAST_REPEATS, _LEAST_SHARE = 10, 0.2
# Texts do not decide if the labels of equal ones differ at least this much as often as those of any two rows, and
# decide if it is at most this much.
_UNDECIDED, _DECIDED = 0.5, 0.2
# Of so many rows it is judged whether words tell their labels, if there are at most so many labels; a classifier that
# knows the words must be so much better than chance.
_SOME, _MOST_LABELS, _BETTER = 500, 20, 0.1
# Names of columns that are about the text or the row, not a second text of the label.
_ABOUT = {"title", "headline", "subject", "heading", "name", "author", "user", "username", "url", "link", "source"}
_ABOUT |= {"id", "date", "time", "timestamp", "place", "location", "address", "product", "brand", "summary", "keywords"}
_ABOUT |= {"explanation", "rationale", "reason", "reasoning", "justification", "note", "notes", "remark", "remarks"}
_ABOUT |= {"translation", "annotator", "file", "filename", "path", "meaning", "definition", "site", "publisher"}
_MONTH = re.compile(r"\b(?:jan|feb|f[ée]v|m[aä]r|apr|avr|abr|ma[iyj]|jui?n|jui?l|aug|ao[uû]|ago|sep|o[ck]t|nov|de[cz])")
# Names of people, things and places have at most so many words.
_LONGEST_NAME = 5


@dataclass(frozen=True)
class PairEvidence:
    """What the labels of recurring texts show.

    Attributes:
        rows: number of rows that were compared.
        recurring: the column whose texts recur with other labels; `other` is the other one of the two.
        alone: rows whose text in `recurring` has another label in another row.
        together: rows whose two texts have another label in another row.
        pair: whether the label is about both.
    """

    rows: int
    recurring: str
    other: str
    alone: int
    together: int
    pair: bool

    def __str__(self) -> str:
        both = f"{self.together:,}" if self.together else "none"
        return (
            f"{self.alone:,} of {self.rows:,} rows have the {shorten(self.recurring)!r} of rows with another label, "
            f"{both} the {shorten(self.other)!r} as well"
        )


def weigh_pair(
    table: Table, columns: Mapping[str, ColumnFacts], text: str, label: str, sample: Sequence[Mapping[str, str]]
) -> PairEvidence | None:
    """The evidence that the label is about the chosen text and a second one; None if there is none.

    Args:
        text, label: the columns chosen so far.
        sample: some rows, as text.
    """
    others = [column for column in columns.values() if column.name not in (text, label) and _could_be_second(column)]
    if len(others) != 1 or same_text(sample, text, others[0].name):
        return None
    other = others[0].name
    seen = _Comparison.of(table, text, other, label)
    pair = not (name_parts(text) | name_parts(other)) & _ABOUT and text.lower() not in ALONE
    # what alone decides the label is its text, or its description
    if seen.first.undecided and not seen.second.decides:
        evidence = PairEvidence(seen.rows, text, other, seen.first.conflicting, seen.both.conflicting, pair)
    elif pair and seen.second.undecided and seen.first.varied and not tells_label(seen.some):
        evidence = PairEvidence(seen.rows, other, text, seen.second.conflicting, seen.both.conflicting, pair)
    else:
        return None
    return evidence if evidence.together <= _DECIDED * evidence.alone else None


def same_text(sample: Sequence[Mapping[str, str]], first: str, second: str) -> int:
    """The number of sampled rows whose two texts are equal, if these are nearly all, otherwise 0."""
    both = [(row.get(first, "").split(), row.get(second, "").split()) for row in sample]
    equal = sum(one == other for one, other in both if one)
    return equal if equal > 1 and equal >= 0.9 * len(both) else 0


def _could_be_second(column: ColumnFacts) -> bool:
    """Whether these are texts: more than a word, no dates, addresses, or names of people and things."""
    words = sum(column.tokens) >= 3 * max(1, column.rows)
    if not words or column.numbers or column.listed or column.non_text or column.unspaced >= column.rows / 2:
        return False
    values = list(islice(column.counts, 200))
    named = sum(map(_is_name, values))
    return not dated(column) and named < max(1, len(values) / 2) and len(column.distinct) > 1


def _is_name(value: str) -> bool:
    """Whether a value is a date in words, or a name: a few words, all with a capital letter."""
    words = value.split()
    if len(words) > _LONGEST_NAME + 1:
        return False
    if any(map(str.isdigit, value)) and _MONTH.search(value.lower()):
        return True
    letters = [word for word in (re.sub(r"[\W\d_]", "", word) for word in words) if word]
    return len(words) <= _LONGEST_NAME and bool(letters) and all(word[0].isupper() for word in letters)


class _Recurring:
    """How the labels of equal texts differ."""

    def __init__(self) -> None:
        self._all: Counter[int] = Counter()
        self._first: dict[int, int] = {}
        self._labels: dict[int, Counter[int]] = {}  # only of texts that recur: most do not

    def add(self, text: int, label: int) -> None:
        self._all[label] += 1
        if text not in self._first:
            self._first[text] = label
        elif text in self._labels:
            self._labels[text][label] += 1
        else:
            self._labels[text] = Counter((self._first[text], label))

    @property
    def conflicting(self) -> int:
        """Rows whose text has another label in another row."""
        return sum(labels.total() for labels in self._labels.values() if len(labels) > 1)

    @property
    def undecided(self) -> bool:
        """Whether texts recur, and equal ones have as different labels as any."""
        return self._disagreement is not None and self._disagreement >= _UNDECIDED

    @property
    def decides(self) -> bool:
        """Whether texts recur, and equal ones have the same label."""
        return self._disagreement is not None and self._disagreement < _DECIDED

    @property
    def varied(self) -> bool:
        """Whether too few texts recur for a judgement."""
        return self._disagreement is None

    @cached_property
    def _disagreement(self) -> float | None:
        """How often two rows with the same text differ in their labels, compared with any two; None if few recur."""
        recurring = sum(labels.total() for labels in self._labels.values())
        chance, rows = _differing(self._all), self._all.total()
        if recurring - len(self._labels) < _LEAST_REPEATS or recurring < _LEAST_SHARE * rows or not chance:
            return None
        return sum(labels.total() * _differing(labels) for labels in self._labels.values()) / recurring / chance


def _differing(labels: Counter[int]) -> float:
    """The share of pairs of rows whose labels differ."""
    rows = labels.total()
    return 1 - sum(count * (count - 1) for count in labels.values()) / (rows * (rows - 1)) if rows > 1 else 0.0


@dataclass
class _Comparison:
    """The labels of equal texts: of each column, and of both together. `some`: a few of the first texts, and labels."""

    rows: int = 0
    first: _Recurring = field(default_factory=_Recurring)
    second: _Recurring = field(default_factory=_Recurring)
    both: _Recurring = field(default_factory=_Recurring)
    some: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, text: str, other: str, label: str) -> _Comparison:
        seen, draw = cls(), random.Random(0)
        for first, second, target in _cells(table, text, other, label):
            seen.rows += 1
            seen.first.add(hash(first), target)
            seen.second.add(hash(second), target)
            seen.both.add(hash((first, second)), target)
            # any rows, not the first: the table may be sorted
            at = draw.randrange(seen.rows) if len(seen.some) == _SOME else len(seen.some)
            seen.some[at : at + 1] = [(first, target)] if at < _SOME else seen.some[at : at + 1]
        return seen


def _cells(table: Table, text: str, other: str, label: str) -> Iterator[tuple[str, str, int]]:
    """Two texts, without what most tokenizers ignore, and a hash of the label, of the first rows that have all."""
    budget = _MOST_CHARACTERS
    try:
        for row in islice(table.rows(()), _MOST_ROWS):
            first, second, target = (as_text(row.values.get(name)) for name in (text, other, label))
            if not first or not second or not target:
                continue
            budget -= len(first) + len(second)
            if budget < 0:
                return
            yield " ".join(first.casefold().split()), " ".join(second.casefold().split()), hash(target.strip())
    except (DataError, ValueError):  # the caller reports what the run would say about these rows
        return


def tells_label(rows: Sequence[tuple[str, int]]) -> bool:
    """Whether the words of texts alone tell their labels, or there are too many labels to judge that.

    A naive Bayes classifier answers for each row what it has learned from the others.
    """
    labels = Counter(label for _, label in rows)
    if not 2 <= len(labels) <= _MOST_LABELS or min(labels.values()) < _LEAST_REPEATS:
        return True
    words = [set(text_words(text)) for text, _ in rows]
    having = {
        label: Counter(word for found, (_, one) in zip(words, rows, strict=True) if one == label for word in found)
        for label in labels
    }
    right: Counter[int] = Counter()
    for found, (_, label) in zip(words, rows, strict=True):
        scores = {}
        for one, count in labels.items():
            own = int(one == label)
            scores[one] = sum(math.log((having[one][word] - own + 0.5) / (count - own + 1)) for word in found)
        right[label] += max(scores, key=scores.__getitem__) == label
    return fmean(right[label] / labels[label] for label in labels) > 1 / len(labels) + _BETTER
