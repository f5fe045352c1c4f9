"""A row as the task reads it: its texts, its labels or number, its other columns.

Imports no TensorFlow: the checks before a run and the ingestion itself use the same functions.
"""

from __future__ import annotations

import decimal
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from components.data.formats.readers import Row, Table
from components.data.formats.table import DuplicateKey
from components.data.text_keys import TextReading
from components.data.values.cells import BadValueError, as_text, describe_non_text, nearest_text
from components.data.values.numbers import COMMA, LARGEST, POINT, NumberColumn, is_computable, read_number
from components.data.values.written_lists import describe_non_label, is_vector, parse_bare_list, parse_list
from models.config import TaskConfig
from models.errors import DataError
from models.label_names import label_name

# The number of rows that a message names for each kind of mistake.
_SHOWN = 5
# The beginnings of mistakes that have nothing to do with the label.
_TEXT_MISTAKES = ("half of a surrogate pair", "bytes in ", "not text: ", "no column ")
_DECIMAL_COMMA = "a label with a decimal comma"
_DECIMAL_FIX = "set task.decimal: ',', or write the numbers with a decimal point"
_A_LIST = "a list as label (is task.type: multi_label meant?)"
_A_VECTOR = "a vector of zeros and ones for labels"


@dataclass(frozen=True)
class Record:
    """A row as the task reads it.

    Attributes:
        text, text_pair: the texts; a missing value is the empty string. `text_pair` is None for a task about one text.
        labels: one label (`single_label`), any number (`multi_label`), none (`regression`).
        number: the target of a regression, else None.
        others: the other columns that have a value.
    """

    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    number: float | None
    others: dict[str, str]

    @property
    def texts(self) -> tuple[str, ...]:
        """One text, or two."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)

    def key(self, reading: TextReading) -> int:
        """A 64-bit hash of the texts as a tokenizer reads them."""
        return reading.key(*self.texts)


def records(
    table: Table, task: TaskConfig, limit: int | None = None, units: Counter[str] | None = None
) -> Iterator[tuple[Row, Record]]:
    """The rows of a table as the task reads them, the first `limit` or all.

    Args:
        units: receives the units of a regression's numbers and their rows, for a comparison with other tables.

    Raises:
        DataError: a column of the task is missing; a row cannot be read; or, after the last row: rows without a label,
            with a label that is not a number for a regression, or with text that is not Unicode (their count and the
            first few); or numbers that can be read in two ways.
    """
    columns = [name for name in (task.text, task.text_pair, task.label) if name is not None]
    table.require(columns)
    mistakes: dict[str, _Mistakes] = {}
    numbers = NumberColumn()
    count = 0
    for row in table.rows(columns):
        if limit is not None and count == limit:
            break
        count += 1
        try:
            record = _record(row.values, task, numbers)
        except BadValueError as error:
            mistakes.setdefault(str(error), _Mistakes()).add(row, row.values.get(task.label))
            continue
        yield row, record
    if units is not None:
        units.update(numbers.units)
    if set(mistakes) <= {_DECIMAL_COMMA} and (limit is None or count < limit):
        check_numbers(table, task, numbers)
    if mistakes:
        raise _mistakes_error(table, task, mistakes, count)


def check_numbers(table: Table, task: TaskConfig, numbers: NumberColumn) -> None:
    """Refuses a column of numbers that can be read in more than one way. Raises DataError."""
    ambiguity, fix = numbers.find_ambiguity(task.decimal)
    if ambiguity:
        raise DataError(
            f"{table.path}: the numbers in column {task.label!r} can be read in more than one way",
            got=ambiguity,
            expected="numbers that can be read in only one way",
            fix=fix,
        )


@dataclass
class _Mistakes:
    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, row: Row, label: object) -> None:
        self.count += 1
        if len(self.shown) < _SHOWN:
            value = "" if label is None or label == "" else f": {str(label)[:40]!r}"
            self.shown.append(f"row {row.number:,}" + (f" (line {row.line:,})" if row.line else "") + value)

    def __str__(self) -> str:
        """The rows for a message: "row 3, row 9 and 4 more"."""
        rest = self.count - len(self.shown)
        return ", ".join(self.shown) + (f" and {rest:,} more" if rest else "")


def _mistakes_error(table: Table, task: TaskConfig, mistakes: dict[str, _Mistakes], rows: int) -> DataError:
    described = [f"{name} in {m.count:,} of {rows:,} rows: {m}" for name, m in mistakes.items()]
    only_texts = all(name.startswith(_TEXT_MISTAKES) for name in mistakes)
    texts = " and ".join(repr(name) for name in (task.text, task.text_pair) if name is not None)
    expected = {
        "single_label": f"one label in column {task.label!r} of every row",
        "multi_label": f"labels in column {task.label!r}, separated by {task.label_separator!r}; nothing for no label",
        "regression": f"a number such as 3.5 in column {task.label!r} of every row",
    }
    return DataError(
        f"{table.path}: rows that cannot be learned from",
        got="; ".join(described),
        expected=f"Unicode text, in UTF-8, in column {texts} of every row" if only_texts else expected[task.type],
        fix=_fix(mistakes, only_texts),
    )


def _fix(mistakes: dict[str, _Mistakes], only_texts: bool) -> str:
    if set(mistakes) == {_DECIMAL_COMMA}:
        return _DECIMAL_FIX
    if _A_VECTOR in mistakes:
        return "write the names of a row's labels instead, as a list or with task.label_separator between them"
    if any(name.startswith("not text: ") for name in mistakes):
        return (
            "put exactly the text into the column that the model will receive later (join the words of a list in the "
            "same way), or correct task.text"
        )
    if only_texts:
        return "correct or delete these rows, or correct task.text"
    return "correct or delete these rows, or correct task.type and task.label"


def _record(values: dict[str, Any], task: TaskConfig, numbers: NumberColumn) -> Record:
    columns = (task.text, task.text_pair, task.label)
    for name in columns[:2]:
        if name is not None and name not in values:
            raise BadValueError(f"no column {name!r}")
        if name is not None and (non_text := describe_non_text(values[name])):
            raise BadValueError(f"not text: {non_text} in column {name!r}")
    for name in columns:
        try:  # bytes (Parquet has such columns) must be text in the task's columns; other columns may hold any bytes
            if name is not None and isinstance(values.get(name), bytes):
                values[name].decode("utf-8")
        except UnicodeDecodeError:
            raise BadValueError(f"bytes in {name!r} that are not UTF-8") from None
    others = {
        name: text for name, value in values.items() if name and name not in columns and (text := nearest_text(value))
    }
    target = values.get(task.label)
    return Record(
        text=as_text(values[task.text]) or "",
        text_pair=None if task.text_pair is None else as_text(values[task.text_pair]) or "",
        labels=() if task.type == "regression" else read_label(target, task),
        number=read_target(target, task.decimal, numbers) if task.type == "regression" else None,
        others=others,
    )


def read_label(target: Any, task: TaskConfig) -> tuple[str, ...]:
    """The labels of a cell. Raises BadValueError."""
    if task.type == "multi_label":
        for part in target if isinstance(target, list) else [target]:
            if isinstance(part, list | dict | DuplicateKey):
                raise BadValueError(f"{describe_non_text(part)} for a label")
        parts = target if isinstance(target, list) else _split_labels(as_text(target) or "", task.label_separator)
        if is_vector(parts):
            raise BadValueError(_A_VECTOR)
        return tuple(dict.fromkeys(label for part in parts if (label := label_name(as_text(part) or ""))))
    if isinstance(target, dict | DuplicateKey):
        raise BadValueError(f"{describe_non_text(target)} for a label")
    text = as_text(target) or ""
    if isinstance(target, list) or parse_list(text) is not None:
        raise BadValueError(_A_LIST)
    _check_label_text(text)
    label = label_name(text)
    if not label:
        raise BadValueError("no label")
    return (label,)


def _split_labels(text: str, separator: str) -> list[Any]:
    """The labels of a field: a list that was written as text, or the parts between separators."""
    items: list[Any] | None = parse_list(text)
    if items is None and (separator == "," or separator not in text):
        items = parse_bare_list(text)
    if items is None:
        _check_label_text(text)
    return text.split(separator) if items is None else items


def _check_label_text(text: str) -> None:
    """Refuses the source code of an object: neither it nor a part between separators is a label's name."""
    if non_label := describe_non_label(text):
        raise BadValueError(f"{non_label} for a label")


def read_target(target: Any, mark: str | None, numbers: NumberColumn) -> float:
    """The number of a cell; `numbers` collects the column's decimal marks and units. Raises BadValueError."""
    if isinstance(target, bool | list | dict | DuplicateKey):
        raise BadValueError("a label that is not a number")
    text = (as_text(target) or "").strip()
    if not text:
        raise BadValueError("no label")
    if isinstance(target, int | float | decimal.Decimal):  # its decimal mark is not in question
        number = _float(target)
        if not is_computable(number):
            raise BadValueError(_not_computable(number))
        numbers.units.update([""] if number else [])
        return number
    reading = read_number(text)
    if reading is None:
        raise BadValueError(_not_computable(_plain_float(text)))
    numbers.add(text, reading)
    if mark is None:
        if POINT not in reading.by_mark:
            raise BadValueError(_DECIMAL_COMMA)
        mark = POINT
    if mark not in reading.by_mark:
        raise BadValueError(f"a label that is not a number with a decimal {'comma' if mark == COMMA else 'point'}")
    number = reading.by_mark[mark]
    if not is_computable(number):
        raise BadValueError(_not_computable(number))
    return number


def _plain_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _not_computable(number: float) -> str:
    if math.isnan(number):
        return "a label that is not a number"
    return f"a label that is too large to learn from (beyond {LARGEST:.1g}), perhaps a mark for a missing one"


def _float(number: float | decimal.Decimal) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer with more than 308 digits
        return math.inf
