"""What `transom init` refuses of a table because `transom run` would, or because it would be a guess."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from components.data.column_names import LABEL_NAMES, TEXT_NAMES
from components.data.formats.files import abbreviate
from components.data.formats.json_lines import JsonLinesTable
from components.data.formats.readers import Row, Table
from components.data.formats.separated import CsvTable
from components.data.formats.table import row_location
from components.data.values.cells import describe_non_text
from models.errors import DataError
from pipeline.init.column_facts import Column

# Files up to this size are read to the end.
_WHOLE_BYTES = 2**28


def check_table(table: Table) -> None:
    """Checks the header.

    Raises:
        DataError: there is none, it has one column, or two are called as a text or a label is.
    """
    if table.headerless:
        raise DataError(
            f"{table.path}: no header",
            got=table.headerless,
            expected="a first line with the names of the columns",
            fix="put such a line above the rows, for example: text,label",
        )
    for name, why in table.left_out.items():
        if name.lower() in (*TEXT_NAMES, *LABEL_NAMES):
            raise DataError(
                f"{table.path}: column {name!r} {why}",
                expected="each name once",
                fix="rename one of them in the header",
            )
    if len(table.columns) == 1 and isinstance(table, CsvTable):
        raise DataError(
            f"{table.path} has one column",
            got=f"{table.columns[0]!r}, and no separator that makes all rows as wide as the header",
            expected="a text and a label in each row, between them a comma, a tab, a semicolon or a bar",
            fix="write the file with one of these separators"
            if not set(table.columns[0]) & set(",;\t|")
            else "take off the double quotes around each line as a whole",
        )


def check_whole_in_one(table: Table, columns: Iterable[Column], rows: int) -> None:
    """Refuses the whole table in one JSON object: column to values, or a list of rows.

    Raises:
        DataError: it is that.
    """
    held = [column for column in columns if column.strange in ("a list", "an object")]
    if rows != 1 or not isinstance(table, JsonLinesTable) or not held:
        return
    row = held[0].strange_row
    values = {column.name: row.values[column.name] for column in held} if row is not None else {}
    listed = [
        name for name, value in values.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    raise DataError(
        f"{table.path}: the whole table in one JSON object",
        got=abbreviate([f"{column.name!r} ({column.strange})" for column in held]),
        expected="JSON Lines: an object a line, one for each row",
        fix=f"convert it, for example: jq -c '.[\"{listed[0]}\"][]' OLD > NEW"
        if listed
        else "write it anew (in pandas: to_json(orient='records', lines=True))",
    )


def check_rest(path: Path, rows: Iterator[Row], texts: Sequence[str]) -> int:
    """Reads the rows that nobody looked at, for a run will: the number of them.

    Args:
        rows: what is left of the table's rows; of a large file only the first are read.
        texts: the columns of the texts.

    Raises:
        DataError: at the first row that cannot be read, or has something else for a text.
    """
    count = 0
    for row in rows if path.stat().st_size <= _WHOLE_BYTES else islice(rows, 1):
        count += 1
        for name in texts:
            value = row.values.get(name)
            if not isinstance(value, str):
                check_text(path, name, describe_non_text(value), row)
    return count


def check_readable(table: Table, names: Sequence[str], broken: Mapping[str, DataError]) -> None:
    """Checks that the chosen columns could be read in all rows so far; what nobody uses need not be.

    Args:
        broken: column to what is wrong with it.

    Raises:
        DataError: at the first row that cannot be read.
    """
    for name in names:
        if name in broken:
            raise broken[name]
        if name in table.unreadable:
            deque(table.rows([name]), maxlen=0)


def check_text(path: Path, name: str, strange: str, row: Row | None) -> None:
    """Refuses a column that is called a text and holds something else.

    Args:
        strange: what its first value is that is not text; empty where there is none.
        row: where that stands.

    Raises:
        DataError: there is one.
    """
    if strange and row is not None:
        raise DataError(
            f"{row_location(path, row.number, row.line)}: column {name!r} is not text",
            got=f"{strange}: {str(row.values[name])[:60]}",
            expected="text",
            fix="put into the column exactly the text that the model will be given later, for example the words of "
            "a list joined by spaces",
        )
