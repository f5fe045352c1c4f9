"""Tables that `transom init` refuses, because `transom run` would, or because it would have to guess."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from components.data.column_names import LABEL_NAMES, TEXT_NAMES
from components.data.formats.files import abbreviate
from components.data.formats.json_lines import JsonLinesTable
from components.data.formats.readers import Row, Table
from components.data.formats.separated import CsvTable
from components.data.formats.table import row_location
from models.errors import DataError
from pipeline.init.column_facts import ColumnFacts


def check_table(table: Table) -> None:
    """Checks the header.

    Raises:
        DataError: there is none, it names only one column, or two columns have the same name of a text or label.
    """
    if table.headerless:
        raise DataError(
            f"{table.path}: no header",
            got=table.headerless,
            expected="a first line with the names of the columns",
            fix="add such a line above the rows, for example: text,label",
        )
    for name, why in table.left_out.items():
        if name.lower() in (*TEXT_NAMES, *LABEL_NAMES):
            raise DataError(
                f"{table.path}: column {name!r} {why}",
                expected="each name once",
                fix="rename one of them in the header",
            )
    if len(table.columns) < 2 and "" in table.left_out:
        raise DataError(
            f"{table.path}: columns without a name",
            got=f"a header with {abbreviate([repr(name) for name in table.columns]) or 'no name at all'}",
            expected="the names of a column of texts and a column of labels in the first line",
            fix="name the columns there, for example: text,label",
        )
    if len(table.columns) < 2:
        check_names(table)
    if len(table.columns) == 1 and isinstance(table, CsvTable):
        raise DataError(
            f"{table.path} has one column",
            got=f"{table.columns[0]!r}, and no separator gives all rows the width of the header",
            expected="a text and a label in each row, separated by a comma, a tab, a semicolon or a bar",
            fix="write the file with one of these separators"
            if not set(table.columns[0]) & set(",;\t|")
            else "remove the double quotes around each line",
        )


def check_names(table: Table) -> None:
    """Checks that no two columns have the same name, where the text or the label was not found among the others.

    Raises:
        DataError: two have.
    """
    for name, why in table.left_out.items():
        if name:
            raise DataError(
                f"{table.path}: column {name!r} {why}",
                got=f"besides, only {abbreviate([repr(one) for one in table.columns], 10)}"
                if table.columns
                else "no other columns",
                expected="each name once, so that the columns of the text and the label can be told from the others",
                fix="rename all but one of them in the first line",
            )


def check_whole_in_one(table: Table, columns: Iterable[ColumnFacts], rows: int) -> None:
    """Checks that the table is not one JSON object: columns with values, or a list of rows.

    Raises:
        DataError: it is.
    """
    nested = [column for column in columns if column.non_text in ("a list", "an object")]
    if rows != 1 or not isinstance(table, JsonLinesTable) or not nested:
        return
    row = nested[0].non_text_row
    values = {column.name: row.values[column.name] for column in nested} if row is not None else {}
    listed = [
        name for name, value in values.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    raise DataError(
        f"{table.path}: the whole table in one JSON object",
        got=abbreviate([f"{column.name!r} ({column.non_text})" for column in nested]),
        expected="JSON Lines: one object per line, for each row",
        fix=f"convert it, for example: jq -c '.[\"{listed[0]}\"][]' OLD > NEW"
        if listed
        else "write it again (in pandas: to_json(orient='records', lines=True))",
    )


def check_readable(table: Table, names: Sequence[str], broken: Mapping[str, DataError]) -> None:
    """Checks that the chosen columns could be read in all rows so far; other columns may be unreadable.

    Args:
        broken: columns with their errors.

    Raises:
        DataError: at the first row that cannot be read.
    """
    for name in names:
        if name in broken:
            raise broken[name]
        if name in table.unreadable:
            deque(table.rows([name]), maxlen=0)


def check_text(path: Path, name: str, non_text: str, row: Row | None) -> None:
    """Checks that a column whose name means text holds text.

    Args:
        non_text: the kind of its first value that is not text; empty if there is none.
        row: the row of that value.

    Raises:
        DataError: it holds something else.
    """
    if non_text and row is not None:
        raise DataError(
            f"{row_location(path, row.number, row.line)}: column {name!r} is not text",
            got=f"{non_text}: {str(row.values[name])[:60]}",
            expected="text",
            fix="put exactly the text into the column that the model will get later, for example the words of "
            "a list joined by spaces",
        )
