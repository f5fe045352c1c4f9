"""Which column of an undescribed table holds the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from components.data.column_names import LABEL_NAMES
from components.data.formats.files import abbreviate
from models.errors import DataError
from pipeline.init.column_facts import LONGEST_LABEL, ColumnFacts
from pipeline.init.task_kind import column_values, could_be_labels

_IDS = {"id", "index", "idx", "row", "no", "nr", "number", "key", "timestamp", "date", "time", "year", "ids", "uid"}
_IDS |= {"qid", "uuid", "guid", "pid", "sid"}
# In a table of at most this many rows, labels need not repeat.
_FEW_ROWS = 20
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?")


def find_label(path: Path, columns: Sequence[ColumnFacts], rows: int, *, pairs: bool = False) -> tuple[str, str]:
    """The name of the label's column, and the reason.

    Args:
        columns: those that are not the text.
        rows: number of rows that were counted.
        pairs: there are two texts, whose label is often a degree.

    Raises:
        DataError: no column looks like a label.
    """
    candidates = [
        column for column in columns if column.non_text != "an object" and (column.rows > rows / 2 or column.lists)
    ]
    plausible = [
        column
        for column in candidates
        if len(column.counts) > 1 and (column.numbers or could_be_labels(column) or _few_rows(column))
    ]
    # a column of sentences is a label only if no other could be: it may be one of two texts, even one called "y"
    brief = [column for column in plausible if not (column.sentences or column.recurring_sentences)]
    plausible = brief if any(map(_could_be_meant, brief)) else plausible
    for name in LABEL_NAMES:
        for column in plausible:
            if column.name.lower() == name:
                return column.name, "chosen by its name and content"
    for column in plausible:
        if name_parts(column.name) & set(LABEL_NAMES):
            return column.name, "chosen by its name and content"
    few = [column for column in plausible if could_be_labels(column)]
    # dates and identifiers repeat, too, but nobody wants them predicted
    few = [column for column in few if not dated(column) and not name_parts(column.name) & _IDS] or few
    measured = [column for column in plausible if column.numbers and not _numbers_rows(column)]
    degrees = [column for column in measured if column.fractions and not dated(column)]
    if pairs and len(degrees) == 1:
        return degrees[0].name, "the only numbers with fractions, as those of a similarity"
    if not few and len(measured) == 1:
        return measured[0].name, "the only column of numbers, apart from the text"
    if not few:
        described = abbreviate([_described(column) for column in columns], 10)
        raise DataError(
            f"{path}: no column looks like a label",
            got=f"apart from the text: {described}" if columns else "only the text",
            expected="a column with at least two different values, each in several rows, or numbers",
            fix=_fix_of_label(columns),
        )
    # the last of those with the fewest values: labels are usually at the end
    best = min(reversed(few), key=lambda column: len(column.counts))
    others = [repr(column.name) for column in few if column is not best and len(column.counts) == len(best.counts)]
    rivals = f"; so has {abbreviate(others, 5)}: which is meant?" if others else ""
    return best.name, f"only {len(best.counts):,} different values in {best.rows:,} rows{rivals}"


def _could_be_meant(column: ColumnFacts) -> bool:
    """Whether the values are labels or measurements, not dates or identifiers."""
    known = not dated(column) and not name_parts(column.name) & _IDS
    return known and (could_be_labels(column) or not _numbers_rows(column))


def name_parts(name: str) -> set[str]:
    """The words of a column's name, in lower case: "gold_label", "goldLabel" and "Gold label" have the same two."""
    return set(re.split(r"[_\W]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def dated(column: ColumnFacts) -> bool:
    """Whether the values are dates."""
    values = list(islice(column.counts, 100))
    return bool(values) and all(map(_DATE.fullmatch, values))


def _described(column: ColumnFacts) -> str:
    if column.non_text in ("a list", "an object"):
        return f"{column.name!r} ({column.non_text})"
    example = next((value for value in column.counts), "")
    many = f"{len(column.distinct):,} different values" if len(column.distinct) != 1 else "one value"
    return f"{column.name!r} ({many}{f', such as {example[:30]!r}' if example else ''})"


def _fix_of_label(columns: Sequence[ColumnFacts]) -> str:
    by_hand = "write transom.yaml by hand (`transom schema` prints its keys)"
    for column in columns:
        stray = next(iter(column.non_numbers), "")
        if stray and column.number_column.rows > column.rows / 2:
            count = column.non_numbers.total()
            return (
                f"most values of column {column.name!r} are numbers, but not {stray[:30]!r} and the like "
                f"({count:,} of {column.rows:,} rows): write numbers there, or delete these rows; or {by_hand}"
            )
    for column in columns:
        if column.name.lower() in LABEL_NAMES:
            return f"look at column {column.name!r}: {_why_no_label(column)}; or {by_hand}"
    if any(column.non_text == "an object" for column in columns):
        return "put the object's values into separate columns (one with the label), or " + by_hand
    numeric = next((column for column in columns if _digits(column)), None)
    if numeric is not None:
        return f"if column {numeric.name!r} is the label, write plain numbers in it, such as 1234.5; or {by_hand}"
    return f"name the label's column 'label', or {by_hand}"


def _why_no_label(column: ColumnFacts) -> str:
    if column.non_text == "an object":
        return "it holds objects; write only the label's name"
    if len(column.distinct) == 1:
        return "all rows have the same value"
    if column.counts.total() < column.rows / 2:
        return f"its values have over {LONGEST_LABEL} characters, as texts have"
    return "hardly any value occurs in two rows" + (
        " (numbers? Then write plain ones, such as 1234.5)" if _digits(column) else ""
    )


def _digits(column: ColumnFacts) -> bool:
    """Whether each value begins with a digit, a sign or the like, and has few letters: "2 hours", "1_000", "~5"."""
    values = list(islice(column.counts, 100))
    return bool(values) and all(
        any(map(str.isdigit, value)) and not value[0].isalpha() and sum(map(str.isalpha, value)) <= 5
        for value in values
    )


def _few_rows(column: ColumnFacts) -> bool:
    """Whether this is a column of a small table that is named like labels; its values need not repeat."""
    return column.rows <= _FEW_ROWS and column.name.lower() in LABEL_NAMES


def _numbers_rows(column: ColumnFacts) -> bool:
    """Whether it numbers the rows: whole numbers without repetition that are consecutive, or named like an ID."""
    whole = not column.fractions and len(column.distinct) == column.rows
    values = column_values(column)
    consecutive = bool(values) and values[-1] - values[0] == len(values) - 1
    return whole and (consecutive or bool(name_parts(column.name) & _IDS))
