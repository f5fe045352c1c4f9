"""CSV and TSV, in the variants that programs write. Imports no TensorFlow."""

from __future__ import annotations

import copy
import csv
import re
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from components.data.formats.files import open_bytes
from components.data.formats.layout import LONGEST_FIELD, find_layout, fits, names_of, without_empty
from components.data.formats.separated_errors import broken_row, ragged_row
from components.data.formats.table import NotPlainError, Row, Span, Table
from components.data.formats.text_lines import Lines, plain_lines
from models.errors import DataError

# The line below a header in Markdown. A single "-" usually means a missing value; in a single column it is all text.
_RULE = re.compile(r"\s*(?::?-{2,}:?)?\s*")
# The number of rows that are handled at once.
_BATCH = 2048


class CsvTable(Table):
    """CSV with any of the usual separators and RFC 4180's quotes, which may enclose line ends.

    Tolerated: Excel's `sep=;`, a title or comments above the header, empty fields at the end of lines, blank lines,
    spaces before quotes, single quotes, carriage returns as line ends, and repeated headers in joined files. A column
    without a name is left out.
    """

    _preferred = ","

    def _columns(self) -> tuple[str, ...]:
        lines = Lines(self.path)
        self._layout = find_layout(lines, self._preferred)
        names = self._layout.header
        if any(name.encode("utf-8", "replace") != name.encode("utf-8", "surrogateescape") for name in names):
            raise lines.damaged[0]
        if not names and (lines.line or lines.text):
            deque(self._records(Lines(self.path)), maxlen=0)  # raises an error about the quotes
        if not any(names):
            raise DataError(
                f"{self.path}: the header is empty",
                got="blank lines" if lines.line else "no text at all",
                expected="a line with the names of the columns, and rows below it",
            )
        if re.match(r"\{\s*[\"'}]|\[\s*[\[{]", names[0]):
            raise DataError(
                f"{self.path}: not CSV",
                got=f"JSON: {', '.join(names)[:60]}",
                expected="a line with the names of the columns, and rows below it",
                fix="give it a name that ends in .jsonl (JSON Lines: one object per line)",
            )
        if self._layout.dialect["delimiter"] != "," and names[-1].endswith(","):
            raise DataError(
                f"{self.path}: commas at the ends of the lines",
                got=f"{names[-1]!r} as the last column",
                expected="fields with one separator between them",
                fix="use the original file: this one was opened and saved by a program that separates by commas",
            )
        for name, count in Counter(names).items():
            if not name:
                self.left_out[name] = "has no name"
            elif count > 1:
                self.left_out[name] = f"appears {count} times in the header"
        layout = self._layout
        if layout.headerless:
            self.headerless = f"line {layout.line:,} looks like a row, not like a header: {layout.headerless}"
        if layout.above and layout.line > 1:
            skipped = {2: "line 1", 3: "lines 1 and 2"}.get(layout.line, f"lines 1 to {layout.line - 1:,}")
            self.above = f"skipped {skipped} ({layout.above}); the header is line {layout.line:,}"
        return tuple(name for name in names if name not in self.left_out)

    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
        header = self._layout.header
        width = len(header)
        kept = [index for index, name in enumerate(header) if name not in self.left_out]
        whole = len(kept) == width
        lines = Lines(self.path, self.span)
        lines.row = 0 if self._has_header else 1
        number = 0
        for line, fields in self._records(lines):
            if self._has_header and line == self._layout.line:
                lines.damaged.clear()
                lines.row = 1
                continue
            first = fields[0]
            if (not first or first.isspace()) and _blank(fields, width):
                continue
            if header[0] in first and self._is_header(fields):
                continue
            if not number and self._has_header and len(fields) > 1 and all(map(_RULE.fullmatch, fields)):
                continue
            number += 1
            if len(fields) != width or (' "' in lines.text and any(field[:1] == " " for field in fields)):
                fields = self._fit(fields, number, line, lines)
            values = dict(zip(self.columns, fields if whole else [fields[index] for index in kept], strict=True))
            if lines.damaged:
                values = {name: self._readable(lines, name, value, needed) for name, value in values.items()}
                lines.damaged.clear()
            lines.row = number + 1
            yield Row(number, line, values)

    @property
    def _has_header(self) -> bool:
        """Whether the part that is read begins with the file."""
        return self.span is None or self.span[0] == 0

    def column_batches(self, needed: Collection[str] | None) -> Iterator[dict[str, Sequence[str]]]:
        header = self._layout.header
        reader = self._plain_records(plain_lines(self.path, self.span))
        try:
            if self._has_header and names_of(without_empty(next(reader, []))) != header:
                raise NotPlainError
            first = self._has_header
            while batch := list(islice(reader, _BATCH)):
                records = list(filter(None, batch))  # without blank lines
                if first and records and all(map(_RULE.fullmatch, records[0])):
                    raise NotPlainError
                if records:
                    first = False
                    yield self._columns_of(records)
        except csv.Error:
            raise NotPlainError from None

    def _columns_of(self, records: list[list[str]]) -> dict[str, Sequence[str]]:
        """The columns of rows that `rows` would yield as they are."""
        header = self._layout.header
        if set(map(len, records)) != {len(header)}:
            raise NotPlainError
        columns = list(zip(*records, strict=True))
        if any(not field or field.isspace() for field in columns[0]) and any(
            _blank(fields, len(header)) for fields in records
        ):
            raise NotPlainError
        if any(header[0] in field for field in columns[0]) and any(map(self._is_header, records)):
            raise NotPlainError
        for column in columns:
            # Perhaps a quote behind a space, which only the row's line can tell.
            if any(field[:1] == " " and field.lstrip(" ")[:1] == '"' for field in column):
                raise NotPlainError
        return {name: column for name, column in zip(header, columns, strict=True) if name not in self.left_out}

    def _plain_records(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The records of plain lines, from the header or the beginning of the part on. Raises csv.Error."""
        csv.field_size_limit(LONGEST_FIELD)
        if self._has_header:
            deque(islice(lines, self._layout.line - 1), maxlen=0)
        return csv.reader(lines, strict=True, **self._layout.dialect)

    def spans(self, size: int) -> list[Span | None]:
        """See `Table.spans`. A line end inside quotes is not the end of a row, so the file is read, as quickly as
        possible."""
        whole = self.path.stat().st_size
        if whole < 2 * size or self.path.suffix.lower() == ".gz":
            return [None]
        found: list[Span | None] = []
        begin = 0
        with open_bytes(self.path) as stream:
            while whole - begin >= 2 * size:
                end = self._row_end(stream, begin, size)
                if end < whole and not self._ends_with_row((begin, end)):
                    return [None]
                found.append((begin, end))
                begin = end
        found += [(begin, whole)] if begin < whole else []
        return found if len(found) > 1 else [None]

    def _row_end(self, stream: BinaryIO, begin: int, size: int) -> int:
        """The first end of a line, `size` bytes from the beginning or later, with an even number of quotes before."""
        quote = self._layout.dialect.get("quotechar", '"').encode()
        stream.seek(begin)
        odd = (stream.read(size) + stream.readline()).count(quote) % 2
        while odd and (line := stream.readline()):
            odd = (odd + line.count(quote)) % 2
        return stream.tell()

    def _ends_with_row(self, span: Span) -> bool:
        part = copy.copy(self)
        part.span = span
        try:
            deque(part._plain_records(plain_lines(self.path, span)), maxlen=0)
        except (csv.Error, NotPlainError):
            return False
        return True

    def _readable(self, lines: Lines, name: str, value: str, needed: Collection[str] | None) -> str:
        readable = lines.readable(name, value, needed)
        if readable != value:
            self.unreadable.add(name)
        return readable

    def _records(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """The first line and the fields of every record, including the header, without empty lines."""
        csv.field_size_limit(LONGEST_FIELD)
        above = self._layout.line - 1 if self._has_header else 0
        stream = iter(lines)
        for _ in range(above):
            next(stream, None)
        lines.damaged.clear()
        reader = csv.reader(stream, strict=True, **self._layout.dialect)
        while True:
            start = above + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise broken_row(lines, start, str(error)) from None
            if fields:
                yield start, fields

    def _fit(self, fields: list[str], number: int, line: int, lines: Lines) -> list[str]:
        """The fields of a row, one for each column of the header.

        Raises:
            DataError: there are more or fewer.
        """
        width, dialect = len(self._layout.header), self._layout.dialect
        quotes_after_spaces = any(field[:1] == " " and field.lstrip(" ")[:1] == '"' for field in fields)
        if quotes_after_spaces and line == lines.line and "quoting" not in dialect:
            # If only a few rows have a space before the quote, the layout of the first rows does not show it.
            again = next(csv.reader([lines.text], **{**dialect, "skipinitialspace": True}))
            fields = again if fits(again, width) else fields
        if not fits(fields, width):
            raise ragged_row(self._layout, number, line, fields, lines)
        return fields[:width]

    def _is_header(self, fields: list[str]) -> bool:
        """Whether a row repeats the header, as in joined files."""
        header = self._layout.header
        # Most rows differ from the header in the last name; the first column often has no name.
        if len(header) < 2 or len(fields) < len(header) or header[-1] not in fields[len(header) - 1]:
            return False
        return names_of(without_empty(fields)) == header


def _blank(fields: list[str], width: int) -> bool:
    """An empty line, as spreadsheets write it; in a table of one column, it is an empty value."""
    return (width > 1 or len(fields) > 1) and not any(map(str.strip, fields))


class TsvTable(CsvTable):
    """TSV, with quoted fields or (as in IANA's registration) with quotes as ordinary characters.

    The first rows decide: fields are quoted, unless rows would then differ from the header in width.
    """

    _preferred = "\t"
