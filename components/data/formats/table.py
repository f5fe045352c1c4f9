"""What all formats have in common: a table has columns and rows. Imports no TensorFlow."""

from __future__ import annotations

import abc
import difflib
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.data.formats.files import abbreviate
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


class DuplicateKey:
    """Stands for the value of a key that one JSON object has twice."""

    def __str__(self) -> str:
        return "two values"


class Table(abc.ABC):
    """A file with rows.

    Attributes:
        columns: the header, or the keys of the first rows in the order in which they appear.
        left_out: names in the header that are no columns, with what is wrong with them.
        unreadable: columns of which a value could not be read as it is, so far.
        headerless: why the header looks like a row; empty where it does not.
        above: what stands above the header and was left out; empty for nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: dict[str, str] = {}
        self.unreadable: set[str] = set()
        self.headerless = self.above = ""
        self.columns: tuple[str, ...] = self._columns()

    @abc.abstractmethod
    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
        """The rows, in the file's order.

        Args:
            needed: columns that somebody reads; None for all. A value of another column that cannot be read as it is
                comes as the text that is nearest to it: a column that nobody uses stops nobody.

        Raises:
            DataError: at the first row that cannot be read.
        """

    def _columns(self) -> tuple[str, ...]:
        first = itertools.islice(self.rows(()), _ROWS_FOR_COLUMNS)
        return tuple(dict.fromkeys(name for row in first for name in row.values if name))

    def require(self, names: Sequence[str]) -> None:
        """Checks that the columns are there. A file without a header and without rows lacks none.

        Raises:
            DataError: naming the column that is missing, those that are there, and the one that may be meant.
        """
        for name in names:
            if name in self.left_out:
                raise DataError(
                    f"{self.path}: column {name!r} {self.left_out[name]}",
                    got=f"the columns {abbreviate([repr(c) for c in self.columns], 20)}, and {name!r} several times",
                    expected="each name once",
                    fix="rename one of them in the header",
                )
            if name not in self.columns and self.columns and not self._comes_later(name):
                raise self._missing(name)

    def _comes_later(self, name: str) -> bool:
        """Whether a column that the first rows lack is in a later one; no format with a header has such."""
        return False

    def _missing(self, name: str) -> DataError:
        near = difflib.get_close_matches(name.lower(), [c.lower() for c in self.columns], n=1)
        close = next((c for c in self.columns if near and c.lower() == near[0]), None)
        notes = "".join(f"; {note}" for note in (self.above, self.headerless) if note)
        return DataError(
            f"{self.path}: there is no column {name!r}",
            got=f"the columns {abbreviate([repr(c) for c in self.columns], 20)}{notes}",
            expected=f"a column {name!r}" + (f" (is {close!r} meant?)" if close else ""),
            fix=f"put a line with the columns' names above the rows, for example {name!r}"
            if self.headerless
            else "name the columns under `task` (text, text_pair, label), or correct the file's header",
        )


class HeaderlessTable(Table):
    """A table of a format in which every row names its columns."""

    def _comes_later(self, name: str) -> bool:
        if any(name in row.values for row in self.rows(())):
            self.columns = (*self.columns, name)
            return True
        return False


def row_location(path: Path, row: int, line: int = 0) -> str:
    """How messages name a row."""
    return f"{path}, row {row:,}" + (f" (line {line:,})" if line else "")
