"""The base of all formats: a table has columns and rows. Imports no TensorFlow."""

from __future__ import annotations

import abc
import difflib
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from components.data.formats.files import abbreviate
from models.errors import DataError

# The number of rows whose keys become the columns of a format without a header.
_ROWS_FOR_COLUMNS = 100


class Row(NamedTuple):
    """One row: its number from 1, the line on which it starts (0 if the format has no lines), its values by column.

    A value is a string in CSV and TSV, and the format's own type otherwise; None or an absent key is a missing value.
    """

    number: int
    line: int
    values: dict[str, Any]


Span = tuple[int, int]
"""A part of a file: its first byte and the one after its last (Parquet: row groups). It begins and ends with a row."""


class NotPlainError(Exception):
    """A table cannot be read column by column; `Table.rows` reads it, or says what is wrong with it."""


class DuplicateKey:
    """Replaces the value of a key that one JSON object has twice."""

    def __str__(self) -> str:
        return "two values"


class Table(abc.ABC):
    """A file with rows.

    Attributes:
        columns: the header, or the keys of the first rows in the order in which they appear.
        left_out: names in the header that are not columns, and the reason.
        unreadable: columns of which some value could not be read exactly, so far.
        headerless: why the header looks like a row; empty if it does not.
        above: what was skipped above the header; empty for nothing.
        span: the part of the file that is read; None for all of it. The numbers of rows and lines in errors then count
            from its beginning: read the whole file for an error that a person gets.
    """

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self.path, self.span = path, span
        self.left_out: dict[str, str] = {}
        self.unreadable: set[str] = set()
        self.headerless = self.above = ""
        self.columns: tuple[str, ...] = self._columns()

    @abc.abstractmethod
    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
        """The rows, in the file's order.

        Args:
            needed: the columns that the caller uses; None for all. In other columns, a value that cannot be read is
                replaced by the nearest text instead of raising an error.

        Raises:
            DataError: at the first row that cannot be read.
        """

    def column_batches(self, needed: Collection[str] | None) -> Iterator[dict[str, Sequence[Any]]]:
        """The same rows in batches, as columns: much faster, where a format can do it.

        Raises:
            NotPlainError: the next rows need `rows`; those of earlier batches are right.
        """
        self._not_plain()
        yield {}

    def _not_plain(self) -> NoReturn:
        raise NotPlainError

    def spans(self, size: int) -> list[Span | None]:
        """Parts of the file of at least `size` bytes, which together are all of it; [None] if it cannot be divided."""
        return [None]

    def _columns(self) -> tuple[str, ...]:
        first = itertools.islice(self.rows(()), _ROWS_FOR_COLUMNS)
        return tuple(dict.fromkeys(name for row in first for name in row.values if name))

    def require(self, names: Sequence[str]) -> None:
        """Checks that the columns exist. A file without a header and without rows passes.

        Raises:
            DataError: names the missing column, the existing ones, and the one that may be meant.
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
        """Whether a column that is not in the first rows is in a later one; never so in a format with a header."""
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
    """A table in a format in which every row names its columns."""

    def _comes_later(self, name: str) -> bool:
        whole = self if self.span is None else type(self)(self.path)  # a part may lack what another has
        if any(name in row.values for row in whole.rows(())):
            self.columns = (*self.columns, name)
            return True
        return False


def row_location(path: Path, row: int, line: int = 0) -> str:
    """The location of a row, for messages."""
    return f"{path}, row {row:,}" + (f" (line {line:,})" if line else "")
