"""Infers from an undescribed table which column is the text, which is the label, and the kind of task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from components.data.column_names import TEXT_NAMES
from components.data.formats.files import abbreviate
from components.data.formats.readers import Row, Table, open_table
from components.data.formats.table import row_location
from components.data.values.cells import describe_non_text
from components.data.values.numbers import COMMA
from models.config import TaskConfig
from models.errors import DataError
from pipeline.init import refusals
from pipeline.init.column_facts import ColumnFacts
from pipeline.init.label_column import find_label
from pipeline.init.pair_evidence import PairEvidence, weigh_pair
from pipeline.init.task_kind import find_task
from pipeline.init.text_columns import find_texts, no_text
from tflite.host.prediction import TaskType

# All of so many rows are examined; then every tenth up to ten times as many, every hundredth up to a hundred times, …
# The whole file counts, because it may be sorted by label.
_ROWS = 10_000
# Files up to this size are read to the end, larger ones up to this many rows.
_WHOLE_BYTES, _MOST_ROWS = 2**28, 200_000
# Rows that are kept, with texts up to this many characters, to compare the texts of a row and to judge the language.
_SAMPLE, _SAMPLED_CHARACTERS = 500, 1_000


@dataclass(frozen=True)
class InferredTask:
    """The task inferred from a table, and the reasons.

    Attributes:
        columns: the table's columns, by name.
        rows: number of rows examined; `all_rows` says whether that is all of them.
        read: number of rows that were read, examined or not; `whole` says whether that is all of them.
        sample: the first rows, as text.
        text, text_pair, label: names of columns.
        separator: `multi_label`: the text between labels.
        labels: label to number of rows; empty for a regression.
        reasons: of "text", "label" and "task".
        evidence: that the label is about two texts, whether or not they are `text` and `text_pair`.
    """

    table: Table
    columns: Mapping[str, ColumnFacts]
    rows: int
    read: int
    whole: bool
    sample: Sequence[Mapping[str, str]]
    text: str
    text_pair: str | None
    label: str
    task: TaskType
    separator: str
    labels: Counter[str]
    reasons: Mapping[str, str]
    evidence: PairEvidence | None = None

    @property
    def all_rows(self) -> bool:
        return self.whole and self.rows == self.read

    @property
    def decimal(self) -> Literal[".", ","] | None:
        """The value for `task.decimal`; None for the default."""
        return "," if self.task == "regression" and self.columns[self.label].number_column.mark == COMMA else None

    @property
    def task_config(self) -> TaskConfig:
        """The section `task` of the configuration."""
        return TaskConfig(
            type=self.task,
            text=self.text,
            text_pair=self.text_pair,
            label=self.label,
            label_separator=self.separator,
            decimal=self.decimal,
        )

    @property
    def others(self) -> list[str]:
        """The columns that are neither text nor label."""
        return [name for name in self.columns if name not in (self.text, self.text_pair, self.label)]


@dataclass
class _Scan:
    """What the rows of a table show, without knowing what they mean."""

    table: Table
    columns: dict[str, ColumnFacts]
    rows: int = 0
    read: int = 0
    whole: bool = True
    sample: list[dict[str, str]] = field(default_factory=list)
    broken: dict[str, DataError] = field(default_factory=dict)  # column to the error of its first unreadable value
    later: dict[str, Row] = field(default_factory=dict)  # column to a row, not examined, whose value is not text

    @classmethod
    def of(cls, table: Table) -> _Scan:
        scan = cls(table, {name: ColumnFacts(name) for name in table.columns})
        large = table.path.stat().st_size > _WHOLE_BYTES
        iterator = table.rows(())
        for row in islice(iterator, _MOST_ROWS) if large else iterator:
            scan.read += 1
            if scan.read % _stride(scan.read) == 0:
                scan.examine(row)
            else:
                scan.glance(row)
        scan.whole = not large or next(iterator, None) is None
        scan.columns.pop("", None)
        return scan

    def examine(self, row: Row) -> None:
        self.rows += 1
        for name, value in row.values.items():
            try:
                self.columns.setdefault(name, ColumnFacts(name)).observe(value, row)
            except ValueError as error:
                where = f"{row_location(self.table.path, row.number, row.line)}: column {name!r} cannot be read"
                self.broken.setdefault(name, DataError(where, got=str(error), expected="text"))
        if len(self.sample) < _SAMPLE:
            texts = {name: value[:_SAMPLED_CHARACTERS] for name, value in row.values.items() if isinstance(value, str)}
            self.sample.append(texts)

    def glance(self, row: Row) -> None:
        """Notes only values that are no text, which a run would refuse in a text's column."""
        for name, value in row.values.items():
            if not isinstance(value, str) and name not in self.later and describe_non_text(value):
                self.later[name] = row


def infer_task(path: Path) -> InferredTask:
    """Reads a table, examines some of its rows, and infers the task.

    Raises:
        DataError: the table cannot be read, or no column looks like text, or none like a label.
    """
    table = open_table(path)
    refusals.check_table(table)
    scan = _Scan.of(table)
    columns = scan.columns
    if not scan.rows:
        raise DataError(
            f"{path} has no rows", got=f"the columns {abbreviate(table.columns, 20)}", expected="at least one row"
        )
    refusals.check_whole_in_one(table, columns.values(), scan.rows)
    try:
        text, pair, text_reason = find_texts(path, list(columns.values()), scan.sample)
        rest = [column for column in columns.values() if column.name not in (text, pair)]
        label, label_reason = find_label(path, rest, scan.rows, pairs=pair is not None)
    except DataError:
        refusals.check_names(table)
        raise
    evidence = None if pair else weigh_pair(table, columns, text, label, scan.sample)
    if evidence is not None and evidence.pair:
        text, pair = (name for name in columns if name in (evidence.recurring, evidence.other))
        text_reason = f"chosen with `text_pair`: {evidence}"
    elif columns[text].recurring_sentences and not columns[text].textual and text.lower() not in TEXT_NAMES:
        raise no_text(path, list(columns.values()))
    for name in (text, pair):
        if name is not None and name in scan.later:
            row = scan.later[name]
            refusals.check_text(path, name, describe_non_text(row.values[name]), row)
    refusals.check_readable(table, [name for name in (text, pair, label) if name is not None], scan.broken)
    task, separator, labels, task_reason = find_task(columns[label])
    return InferredTask(
        table=table,
        columns=columns,
        rows=scan.rows,
        read=scan.read,
        whole=scan.whole,
        sample=scan.sample,
        text=text,
        text_pair=pair,
        label=label,
        task=task,
        separator=separator,
        labels=labels,
        reasons={"text": text_reason, "label": label_reason, "task": task_reason},
        evidence=evidence,
    )


def _stride(number: int) -> int:
    """The distance from the row `number` (from 1) to the next one that is examined."""
    stride = 1
    while number > _ROWS * stride:
        stride *= 10
    return stride
