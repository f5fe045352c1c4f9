"""Doubts about a header: its names look like values, so the first line of the file may be a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from components.data.column_names import LABEL_NAMES, TEXT_NAMES
from pipeline.init.column_facts import ColumnFacts
from pipeline.init.label_column import name_parts
from pipeline.init.table_words import shorten
from pipeline.init.text_columns import text_words

# A name with this many words reads like a sentence; from this many on it does if the values have its words, and from
# this many on even if it is written like a name.
_SENTENCE, _SHORT, _LONG = 7, 3, 5
# Values whose words and forms are compared with the name.
_COMPARED = 2_000
_USUAL = frozenset((*TEXT_NAMES, *LABEL_NAMES))


def header_notes(columns: Mapping[str, ColumnFacts]) -> Iterator[str]:
    """Names of columns that look like values. Certain cases are refused (`refusals.check_table`)."""
    usual = any(name.lower() in _USUAL for name in columns)  # then the first line is a header, whatever else it holds
    found = {name: why for name, column in columns.items() if (why := _doubt(name, column, usual=usual))}
    if found and not usual:
        # the form alone is no reason: "x1" may name a column of "x5"; beside a sentence it is one
        alike = {name: "looks like its values" for name, column in columns.items() if _has_form_of_values(name, column)}
        found = {**alike, **found}
    for name, why in found.items():
        yield (
            f"the name of column {shorten(name)!r} {why}: if the first line of the file is a row, add a line with "
            "names above it (text,label) and run `transom init` again"
        )


def _doubt(name: str, column: ColumnFacts, *, usual: bool) -> str:
    """Why a name looks like a value; "" if it does not."""
    again = column.counts.get(name, 0) if len(column.counts) < column.rows else 0
    if again > 1:
        return f"is also the value of {again:,} rows in its column"
    sentence = len(name.split()) >= _SENTENCE or (not usual and _reads_like(name, column))
    return "reads like a sentence" if sentence and column.textual else ""


def _reads_like(name: str, column: ColumnFacts) -> bool:
    """Whether a short name is made of the values' words, unlike "Review Text" or "Film Plot Summary"."""
    words = text_words(name)
    wide = len(name.split()) < len(words) / 2  # pairs of characters, of a script without spaces
    size = len(words) / 2 if wide else len(words)
    named = name_parts(name) & _USUAL or (name.istitle() and not wide)
    if size < (_LONG if named else _SHORT):
        return False
    known = {word for value in islice(column.counts, _COMPARED) for word in text_words(value)}
    # three words could name a column, four hardly
    least = 1.0 if size <= _SHORT else 0.5
    return sum(word in known for word in words) >= least * len(words)


def _has_form_of_values(name: str, column: ColumnFacts) -> bool:
    """Whether a name with digits has the form of all values: "x99" above "x0" to "x39"."""
    forms = {_form(value) for value in islice(column.counts, _COMPARED)}
    return any(map(str.isdigit, name)) and forms == {_form(name)}


def _form(value: str) -> str:
    """Numbers as 0: "x99" and "x1" have one form, "y1" another."""
    return re.sub(r"\d+", "0", value.casefold())
