"""Infers from an undescribed table which column is the text, which is the label, and the kind of task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.data.column_names import LABEL_NAMES, TEXT_NAMES
from components.data.formats.files import abbreviate
from components.data.formats.readers import Table, open_table
from components.data.formats.table import row_location
from models.errors import DataError
from pipeline.init import refusals
from pipeline.init.column_facts import LONGEST_LABEL, ColumnFacts
from pipeline.init.task_kind import column_values, could_be_labels, find_task
from tflite.host.prediction import TaskType

# The most rows that are examined.
_ROWS = 50_000
_PAIRS = (
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("question", "answer"),
    ("query", "document"),
    ("query", "passage"),
    ("text", "text_pair"),
)
_IDS = {"id", "index", "idx", "row", "no", "nr", "number", "key", "timestamp", "date", "time", "year"}
_TWINS = (("1", "2"), ("a", "b"), ("_left", "_right"))
# In a table of at most this many rows, labels need not repeat.
_FEW_ROWS = 20


@dataclass(frozen=True)
class InferredTask:
    """The task inferred from a table, and the reasons.

    Attributes:
        columns: the table's columns, by name.
        rows: number of rows examined; `all_rows` says whether that is all of them.
        text, text_pair, label: names of columns.
        separator: `multi_label`: the text between labels.
        labels: label to number of rows; empty for a regression.
        reasons: of "text", "label" and "task".
    """

    table: Table
    columns: Mapping[str, ColumnFacts]
    rows: int
    all_rows: bool
    text: str
    text_pair: str | None
    label: str
    task: TaskType
    separator: str
    labels: Counter[str]
    reasons: Mapping[str, str]

    @property
    def others(self) -> list[str]:
        """The columns that are neither text nor label."""
        return [name for name in self.columns if name not in (self.text, self.text_pair, self.label)]


def infer_task(path: Path) -> InferredTask:
    """Reads the first rows of a table and infers the task.

    Raises:
        DataError: the table cannot be read, or no column looks like text, or none like a label.
    """
    table = open_table(path)
    refusals.check_table(table)
    columns = {name: ColumnFacts(name) for name in table.columns}
    iterator, rows = table.rows(()), 0
    broken: dict[str, DataError] = {}
    for row in islice(iterator, _ROWS):
        rows += 1
        for name, value in row.values.items():
            try:
                columns.setdefault(name, ColumnFacts(name)).observe(value, row)
            except ValueError as error:
                where = f"{row_location(path, row.number, row.line)}: column {name!r} cannot be read"
                broken.setdefault(name, DataError(where, got=str(error), expected="text"))
    columns.pop("", None)
    if not rows:
        raise DataError(
            f"{path} has no rows", got=f"the columns {abbreviate(table.columns, 20)}", expected="at least one row"
        )
    refusals.check_whole_in_one(table, columns.values(), rows)
    text, pair, text_reason = _find_texts(path, list(columns.values()))
    rest = [column for column in columns.values() if column.name not in (text, pair)]
    label, label_reason = _find_label(path, rest, rows)
    used = [name for name in (text, pair, label) if name is not None]
    unseen = refusals.check_rest(path, iterator, [name for name in (text, pair) if name is not None])
    refusals.check_readable(table, used, broken)
    task, separator, labels, task_reason = find_task(columns[label])
    return InferredTask(
        table=table,
        columns=columns,
        rows=rows,
        all_rows=not unseen,
        text=text,
        text_pair=pair,
        label=label,
        task=task,
        separator=separator,
        labels=labels,
        reasons={"text": text_reason, "label": label_reason, "task": task_reason},
    )


def _find_texts(path: Path, columns: Sequence[ColumnFacts]) -> tuple[str, str | None, str]:
    texts = [column for column in columns if column.textual]
    # a column that is named like text is text, even if it is short
    named = [column for column in columns if column.name.lower() in TEXT_NAMES and column.rows and not column.numbers]
    candidates = list({column.name: column for column in (*texts, *named)}.values())
    if not candidates:
        _check_texts(path, [column for column in columns if column.name.lower() in TEXT_NAMES and column.rows])
        described = abbreviate(
            [f"{column.name!r} ({column.non_text or f'mean length {column.mean_length:.0f}'})" for column in columns],
            10,
        )
        raise DataError(
            f"{path}: no column looks like text",
            got=described,
            expected="a column of sentences",
            fix="put the text into its own column, the words of a list joined by spaces"
            if any(column.non_text in ("a list", "an object") for column in columns)
            else "write transom.yaml by hand; `transom schema` prints its keys",
        )
    by_name = {column.name.lower(): column.name for column in candidates}
    for first, second in (*_PAIRS, *_twins(by_name)):
        if first in by_name and second in by_name:
            pair = by_name[first], by_name[second]
            _check_texts(path, [column for column in candidates if column.name in pair])
            return *pair, "chosen because its name and that of `text_pair` belong together"
    for name in TEXT_NAMES:
        if name in by_name:
            _check_texts(path, [column for column in candidates if column.name == by_name[name]])
            return by_name[name], None, "chosen by its name and content"
    longest = max(candidates, key=lambda column: column.mean_length)
    return longest.name, None, f"the longest texts, {longest.mean_length:.0f} characters on average"


def _check_texts(path: Path, columns: Sequence[ColumnFacts]) -> None:
    for column in columns:
        refusals.check_text(path, column.name, column.non_text, column.non_text_row)


def _twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that differ only in one part: text_a and text_b, sentence1 and sentence2, "#1 String" and "#2 String"."""
    return [
        (name, name.removesuffix(one) + other)
        for name in names
        for one, other in _TWINS
        if len(name) > len(one) and name.endswith(one)
    ] + [(name, name.replace("1", "2")) for name in names if name.count("1") == 1]


def _find_label(path: Path, columns: Sequence[ColumnFacts], rows: int) -> tuple[str, str]:
    candidates = [
        column for column in columns if column.non_text != "an object" and (column.rows > rows / 2 or column.lists)
    ]
    plausible = [
        column
        for column in candidates
        if len(column.counts) > 1 and (column.numbers or could_be_labels(column) or _few_rows(column))
    ]
    for name in LABEL_NAMES:
        for column in plausible:
            if column.name.lower() == name:
                return column.name, "chosen by its name and content"
    for column in plausible:
        if set(re.split(r"[_\W]+", column.name.lower())) & set(LABEL_NAMES):
            return column.name, "chosen by its name and content"
    few = [column for column in plausible if could_be_labels(column)]
    measured = [column for column in plausible if column.numbers and not _numbers_rows(column)]
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
    return whole and (consecutive or bool(set(re.split(r"[_\W]+", column.name.lower())) & _IDS))
