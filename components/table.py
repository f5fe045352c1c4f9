"""What all formats have in common: a table has columns and rows. Imports no TensorFlow."""

from __future__ import annotations

import abc
import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.files import some
from models.errors import DataError

# Rows whose keys make up the columns of a format without a header.
_ROWS_FOR_COLUMNS = 100


class Row(NamedTuple):
    """One row: its number from 1, the line it starts on (0 where a format has no lines), its values by column.

    A value is a string in CSV and TSV, what the format holds otherwise; None or an absent key is a missing value.
    """

    number: int
    line: int
    values: dict[str, Any]


class Table(abc.ABC):
    """A file with rows. `columns`: the header, or the keys of the first rows in the order in which they appear."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: tuple[str, ...] = self._columns()

    @abc.abstractmethod
    def rows(self) -> Iterator[Row]:
        """The rows, in the file's order.

        Raises:
            DataError: at the first row that cannot be read.
        """

    def _columns(self) -> tuple[str, ...]:
        first = itertools.islice(self.rows(), _ROWS_FOR_COLUMNS)
        return tuple(dict.fromkeys(name for row in first for name in row.values))

    def require(self, names: Sequence[str]) -> None:
        """Checks that the columns are there. A file without a header and without rows lacks none.

        Raises:
            DataError: naming the column that is missing, those that are there, and the one that may be meant.
        """
        for name in names:
            if name in self.columns or not self.columns:
                continue
            near = difflib.get_close_matches(name.lower(), [c.lower() for c in self.columns], n=1)
            close = next((c for c in self.columns if near and c.lower() == near[0]), None)
            raise DataError(
                f"{self.path}: there is no column {name!r}",
                got=f"the columns {some([repr(c) for c in self.columns], 20)}",
                expected=f"a column {name!r}" + (f" (is {close!r} meant?)" if close else ""),
                fix="name the columns under `task` (text, text_pair, label), or correct the file's header",
            )


def place(path: Path, row: int, line: int = 0) -> str:
    """How messages name a row."""
    return f"{path}, row {row:,}" + (f" (line {line:,})" if line else "")
