"""The kind of task that a column of labels implies, and how its values are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from components.data.values.cells import as_text
from components.data.values.numbers import COMMA, POINT, read_number
from components.data.values.written_lists import Item, parse_bare_list, parse_list
from models.label_names import label_name
from pipeline.init.column_facts import ColumnFacts
from tflite.host.prediction import TaskType

_PLURALS = {"labels", "tags", "topics", "categories", "classes", "codes", "genres", "emotions", "intents", "targets"}
_MEASURES = {"score", "similarity", "rating", "stars", "grade"}
_SEPARATORS = ("|", ";", ",")
# More distinct whole numbers than this are measurements, unless they number the labels from 0 or 1.
_FEW_NUMBERS = 20

TaskFinding = tuple[TaskType, str, Counter[str], str]


def find_task(column: ColumnFacts) -> TaskFinding:
    """The kind of task, the separator of labels, the labels with their numbers of rows, and the reason."""
    if column.lists:
        return "multi_label", _separator_outside(column.counts), column.counts, "its values are lists"
    if column.listed:
        example = next(value for value in column.counts if value)
        reason = f"its values are lists written as text, such as {example[:60]}"
        return "multi_label", _separator_outside(column.items), column.items, reason
    mixed = _mixed(column)
    if mixed is not None:
        reason = "some of its values are lists, written as text, of the other values"
        return "multi_label", _separator_outside(mixed), mixed, reason
    separator = _separator(column)
    # "1,2" is a number with a decimal comma, or two labels if the column's name is a plural
    many = separator == COMMA and column.name.lower() in _PLURALS
    if column.numbers and not many:
        return _find_number_task(column)
    if separator is not None:
        parts: Counter[str] = Counter()
        for value, count in column.counts.items():
            for part in {label_name(part) for part in value.split(separator)} - {""}:
                parts[part] += count
        return "multi_label", separator, parts, f"the same labels occur in several combinations around {separator!r}"
    return "single_label", "|", column.counts, f"{len(column.counts):,} different values, which are not numbers"


def _mixed(column: ColumnFacts) -> Counter[str] | None:
    """The labels of a column with single labels in some rows and lists of them, written as text, in others."""
    lists = {value: items for value in column.counts if column.written and (items := _items(value)) is not None}
    labels = Counter({value: count for value, count in column.counts.items() if value not in lists})
    names = {value: {label_name(as_text(item) or "") for item in items} - {""} for value, items in lists.items()}
    known = sum(name in labels for found in names.values() for name in found)
    if not lists or 2 * known < sum(map(len, names.values())) or not labels:
        return None
    for value, found in names.items():
        labels.update(dict.fromkeys(found, column.counts[value]))
    return labels


def _items(value: str) -> Sequence[Item] | None:
    items = parse_list(value)
    return parse_bare_list(value) if items is None else items


def could_be_labels(column: ColumnFacts) -> bool:
    """Whether the values repeat, or their parts do."""
    if column.lists:
        return column.counts.total() > len(column.counts)
    return column.repeats >= 2 or column.listed or (not column.numbers and _separator(column) is not None)


def column_values(column: ColumnFacts) -> list[float]:
    """The distinct numbers of a column, ascending."""
    mark = column.number_column.mark or POINT
    readings = (read_number(value) for value in column.counts)
    return sorted({reading.by_mark.get(mark, 0.0) for reading in readings if reading is not None})


def _separator_outside(labels: Counter[str]) -> str:
    """A separator that occurs in no label."""
    return next((mark for mark in (*_SEPARATORS, " / ", "||") if not any(mark in label for label in labels)), "|")


def _find_number_task(column: ColumnFacts) -> TaskFinding:
    numbers, values = column.number_column, column_values(column)
    worded = any(unit.isalpha() for unit in numbers.units) and not column.fractions
    if worded and len(column.counts) <= _FEW_NUMBERS and column.repeats >= 2:  # "10 min" and "1 h"; "3g" and "4g"
        reason = f"{len(column.counts):,} different values, read as names of classes"
        return "single_label", "|", column.counts, reason
    if numbers.unit:
        shown = max((value for value in column.counts if numbers.unit in value), key=len, default=numbers.unit)
        reading = read_number(shown)
        number = 0.0 if reading is None else reading.by_mark.get(numbers.mark or POINT, 0.0)
        return "regression", "|", Counter(), f"numbers in {numbers.unit}, which is dropped: {shown} is {number:.15g}"
    if column.fractions:
        comma = max((value for value in column.counts if COMMA in value), default="")
        reason = f"numbers with a decimal comma, such as {comma}" if numbers.mark == COMMA else "numbers with fractions"
        return "regression", "|", Counter(), reason
    # counts hold 1 for 1.0, which pandas writes if a row has no label
    plain = all(re.fullmatch(r"[+-]?\d+", value) for value in column.counts)
    numbered = values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1 and column.repeats >= 5
    measure = bool(set(re.split(r"[_\W]+", column.name.lower())) & _MEASURES)
    if plain and (len(values) <= _FEW_NUMBERS or (numbered and not measure)):
        reason = f"{len(column.counts):,} different whole numbers, read as names of classes"
        return "single_label", "|", column.counts, reason
    if numbers.mark is None:
        return "regression", "|", Counter(), f"numbers such as {numbers.open or next(iter(column.counts))}"
    return "regression", "|", Counter(), f"{len(values):,} different whole numbers"


def _separator(column: ColumnFacts) -> str | None:
    """The separator between labels, if the parts of the values occur again in other values."""
    for separator in _SEPARATORS:
        joined = [value for value in column.counts if separator in value]
        if sum(column.counts[value] for value in joined) < max(2, column.rows / 50):
            continue
        uses = Counter(part for value in column.counts for part in {p.strip() for p in value.split(separator)} - {""})
        parts = {part.strip() for value in joined for part in value.split(separator)} - {""}
        again = sum(uses[part] > 1 for part in parts)
        words = sum(len(part.split()) for part in parts) / max(1, len(parts))
        if parts and again >= len(parts) / 2 and words <= 3:
            return separator
    return None
