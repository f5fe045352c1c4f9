"""What a row means for a task: its texts, its answer, its other columns.

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
from components.data.formats.table import Twice
from components.data.text_keys import TextReading
from components.data.values.cells import BadValueError, as_text, nearest_text, what_is_not_text
from components.data.values.numbers import COMMA, POINT, NumberColumn, read_number
from components.data.values.written_lists import bare_list, is_vector, not_names, written_list
from models.config import TaskConfig
from models.errors import DataError
from models.label_names import label_name

# Rows of each kind of mistake that a message names.
_SHOWN = 5
# How the mistakes begin that have nothing to do with the label.
_TEXT_MISTAKES = ("half of a surrogate pair", "bytes in ", "not text: ", "no column ")
_DECIMAL_COMMA = "a label with a decimal comma"
_DECIMAL_FIX = "set task.decimal: ',', or write the numbers with a decimal point"
_A_LIST = "a list as label (is task.type: multi_label meant?)"
_A_VECTOR = "a vector of zeros and ones for labels"


@dataclass(frozen=True)
class Record:
    """A row as the task sees it.

    Attributes:
        text, text_pair: the texts; a missing value is the empty string. `text_pair` is None for a task about one text.
        labels: one label (`single_label`), any number (`multi_label`), none (`regression`).
        number: the answer of a regression, else None.
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
        """64 bits that stand for the texts, as a tokenizer reads them."""
        return reading.key(*self.texts)


def records(
    table: Table, task: TaskConfig, limit: int | None = None, units: Counter[str] | None = None
) -> Iterator[tuple[Row, Record]]:
    """The rows of a table as the task sees them, the first `limit` or all.

    Args:
        units: given the units of a regression's numbers and their rows, to be compared with other tables'.

    Raises:
        DataError: a task's column is missing; a row cannot be read; or, after the last row, rows that have no label,
            a label that is no number for a regression, or text that is no Unicode: with their count and the first few;
            or numbers that can be read in two ways.
    """
    own = [name for name in (task.text, task.text_pair, task.label) if name is not None]
    table.require(own)
    mistakes: dict[str, _Mistakes] = {}
    numbers = NumberColumn()
    seen = 0
    for row in table.rows(own):
        if limit is not None and seen == limit:
            break
        seen += 1
        try:
            record = _record(row.values, task, numbers)
        except BadValueError as error:
            mistakes.setdefault(str(error), _Mistakes()).add(row, row.values.get(task.label))
            continue
        yield row, record
    if units is not None:
        units.update(numbers.units)
    if set(mistakes) <= {_DECIMAL_COMMA} and (limit is None or seen < limit):
        _check_numbers(table, task, numbers)
    if mistakes:
        raise _complain(table, task, mistakes, seen)


def _check_numbers(table: Table, task: TaskConfig, numbers: NumberColumn) -> None:
    """Refuses a column of numbers that has no one reading."""
    unclear, fix = numbers.question(task.decimal)
    if unclear:
        raise DataError(
            f"{table.path}: the numbers in column {task.label!r} can be read in more ways than one",
            got=unclear,
            expected="numbers with one reading",
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


def _complain(table: Table, task: TaskConfig, mistakes: dict[str, _Mistakes], seen: int) -> DataError:
    kinds = [f"{kind} in {m.count:,} of {seen:,} rows: {_some_of(m)}" for kind, m in mistakes.items()]
    expected = {
        "single_label": f"one label in column {task.label!r} of every row",
        "multi_label": f"labels in column {task.label!r}, separated by {task.label_separator!r}; nothing for no label",
        "regression": f"a number such as 3.5 in column {task.label!r} of every row",
    }
    return DataError(
        f"{table.path}: rows that cannot be learned from",
        got="; ".join(kinds),
        expected=_text_expected(task) if _only_of_texts(mistakes) else expected[task.type],
        fix=_fix(mistakes),
    )


def _fix(mistakes: dict[str, _Mistakes]) -> str:
    if set(mistakes) == {_DECIMAL_COMMA}:
        return _DECIMAL_FIX
    if _A_VECTOR in mistakes:
        return "write the names of a row's labels instead, as a list or with task.label_separator between them"
    if any(kind.startswith("not text: ") for kind in mistakes):
        return (
            "put into the column exactly the text that the model will be given later (join the words of a list the "
            "same way), or correct task.text"
        )
    if _only_of_texts(mistakes):
        return "correct or delete these rows, or correct task.text"
    return "correct or delete these rows, or correct task.type and task.label"


def _only_of_texts(mistakes: dict[str, _Mistakes]) -> bool:
    return all(kind.startswith(_TEXT_MISTAKES) for kind in mistakes)


def _text_expected(task: TaskConfig) -> str:
    columns = " and ".join(repr(name) for name in (task.text, task.text_pair) if name is not None)
    return f"Unicode text, in UTF-8, in column {columns} of every row"


def _some_of(mistakes: _Mistakes) -> str:
    """The rows that a message names: "row 3, row 9 and 4 more"."""
    rest = mistakes.count - len(mistakes.shown)
    return ", ".join(mistakes.shown) + (f" and {rest:,} more" if rest else "")


def _record(values: dict[str, Any], task: TaskConfig, numbers: NumberColumn) -> Record:
    own = (task.text, task.text_pair, task.label)
    for name in own[:2]:
        if name is not None and name not in values:
            raise BadValueError(f"no column {name!r}")
        if name is not None and (strange := what_is_not_text(values[name])):
            raise BadValueError(f"not text: {strange} in column {name!r}")
    for name in own:
        if name is not None and isinstance(values.get(name), bytes):
            _check_utf8(name, values[name])
    others = {
        name: text for name, value in values.items() if name and name not in own and (text := nearest_text(value))
    }
    answer = values.get(task.label)
    return Record(
        text=as_text(values[task.text]) or "",
        text_pair=None if task.text_pair is None else as_text(values[task.text_pair]) or "",
        labels=() if task.type == "regression" else _labels(answer, task),
        number=_number(answer, task.decimal, numbers) if task.type == "regression" else None,
        others=others,
    )


def _check_utf8(name: str, value: bytes) -> None:
    """Bytes (Parquet has columns of them) are text where the task reads them; other columns may hold what they like."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadValueError(f"bytes in {name!r} that are not UTF-8") from None


def _labels(answer: Any, task: TaskConfig) -> tuple[str, ...]:
    if task.type == "multi_label":
        for part in answer if isinstance(answer, list) else [answer]:
            if isinstance(part, list | dict | Twice):
                raise BadValueError(f"{what_is_not_text(part)} for a label")
        parts = answer if isinstance(answer, list) else _parts(as_text(answer) or "", task.label_separator)
        if is_vector(parts):
            raise BadValueError(_A_VECTOR)
        return tuple(dict.fromkeys(label for part in parts if (label := label_name(as_text(part) or ""))))
    if isinstance(answer, dict | Twice):
        raise BadValueError(f"{what_is_not_text(answer)} for a label")
    text = as_text(answer) or ""
    if isinstance(answer, list) or written_list(text) is not None:
        raise BadValueError(_A_LIST)
    _check_source(text)
    label = label_name(text)
    if not label:
        raise BadValueError("no label")
    return (label,)


def _parts(text: str, separator: str) -> list[Any]:
    """The labels of a field: a list that was written as text, or what stands between separators."""
    listed: list[Any] | None = written_list(text)
    if listed is None and (separator == "," or separator not in text):
        listed = bare_list(text)
    if listed is None:
        _check_source(text)
    return text.split(separator) if listed is None else listed


def _check_source(text: str) -> None:
    """Refuses the source of an object, of which neither the whole nor a part between separators is a label's name."""
    if strange := not_names(text):
        raise BadValueError(f"{strange} for a label")


def _number(answer: Any, mark: str | None, numbers: NumberColumn) -> float:
    """The number of a row; what its column says of decimal marks and units is collected in `numbers`."""
    if isinstance(answer, bool | list | dict | Twice):
        raise BadValueError("a label that is no number")
    text = (as_text(answer) or "").strip()
    if not text:
        raise BadValueError("no label")
    if isinstance(answer, int | float | decimal.Decimal):  # its decimals are no question
        number = _float(answer)
        if not math.isfinite(number):
            raise BadValueError("a label that is no finite number")
        numbers.units.update([""] if number else [])
        return number
    reading = read_number(text)
    if reading is None:
        raise BadValueError("a label that is no number")
    numbers.add(text, reading)
    if mark is None:
        if POINT not in reading.by_mark:
            raise BadValueError(_DECIMAL_COMMA)
        mark = POINT
    if mark not in reading.by_mark:
        raise BadValueError(f"a label that is no number with a decimal {'comma' if mark == COMMA else 'point'}")
    return reading.by_mark[mark]


def _float(number: float | decimal.Decimal) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of over 308 digits
        return math.inf
