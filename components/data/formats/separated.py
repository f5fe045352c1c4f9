"""CSV and TSV, in the variants that programs write. Imports no TensorFlow."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Collection, Iterator

from components.data.formats.files import abbreviate
from components.data.formats.layout import LONGEST_FIELD, find_layout, fits, names_of, without_empty
from components.data.formats.table import Row, Table, row_location
from components.data.formats.text_lines import Lines
from models.errors import DataError

# The line below a header in Markdown. A single "-" usually means a missing value; in a single column it is all text.
_RULE = re.compile(r"\s*(?::?-{2,}:?)?\s*")
# If this share of the rows has another width than the header, the header is wrong.
_NEARLY_ALL = 0.9


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
        lines = Lines(self.path)
        number = 0
        for line, fields in self._records(lines):
            if line == self._layout.line:
                lines.damaged.clear()
                lines.row = 1
                continue
            first = fields[0]
            if (not first or first.isspace()) and _blank(fields, width):
                continue
            if header[0] in first and self._is_header(fields):
                continue
            if not number and len(fields) > 1 and all(map(_RULE.fullmatch, fields)):
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

    def _readable(self, lines: Lines, name: str, value: str, needed: Collection[str] | None) -> str:
        readable = lines.readable(name, value, needed)
        if readable != value:
            self.unreadable.add(name)
        return readable

    def _records(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """The first line and the fields of every record, including the header, without empty lines."""
        csv.field_size_limit(LONGEST_FIELD)
        above = self._layout.line - 1
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
                raise self._broken(lines, start, str(error)) from None
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
            raise self._ragged(number, line, fields, lines)
        return fields[:width]

    def _is_header(self, fields: list[str]) -> bool:
        """Whether a row repeats the header, as in joined files."""
        header = self._layout.header
        # Most rows differ from the header in the last name; the first column often has no name.
        if len(header) < 2 or len(fields) < len(header) or header[-1] not in fields[len(header) - 1]:
            return False
        return names_of(without_empty(fields)) == header

    def _broken(self, lines: Lines, line: int, why: str) -> DataError:
        expected = "fields in double quotes, with double quotes inside them doubled"
        fix = "correct the row, or write the file with a CSV library (or as JSON Lines)"
        if "unexpected end of data" in why or "field limit" in why:
            why = "a double quote is opened and never closed"
        elif "new-line character" in why:
            why, expected = "a carriage return outside quotes", "lines that end in a line feed"
            fix = "put the field into double quotes; if carriage returns end the lines: tr '\\r' '\\n' < OLD > NEW"
        elif '\\"' in lines.text:
            why = f'a double quote inside the field, written \\" (line {lines.line:,})'
            fix = 'write it "" (in pandas doublequote=True, in Spark option("escape", "\\""))'
        elif re.search(r'"[ \t]+[,;|]', lines.text) and "expected after" in why:
            why = f"a space between the closing quote and the separator (line {lines.line:,})"
            fix = "delete the spaces around the separators"
        elif not lines.row and re.match(r'\s*"[^"]*"[ \t]+"', lines.text):
            why = f"fields with spaces between them (line {lines.line:,})"
            expected = "fields with a comma, a tab, a semicolon or a bar between them"
            fix = 'write the file with commas (in R: write.csv(table, "FILE.csv", row.names = FALSE))'
        elif "expected after" in why:
            why = f"{why} in line {lines.line:,}: a double quote inside the field, or one that was never closed"
        return DataError(
            row_location(self.path, lines.row, line) if lines.row else f"{self.path}: the header (line {line:,})",
            got=why,
            expected=expected,
            fix=fix,
        )

    def _ragged(self, number: int, line: int, fields: list[str], lines: Lines) -> DataError:
        width = len(self._layout.header)
        more = len(fields) > width
        shown = abbreviate([repr(field if len(field) <= 40 else field[:40] + "…") for field in fields], 6)
        fix = (
            "put the field that holds the separator into double quotes"
            if more
            else "complete or delete the row; a text with a line end inside needs double quotes around it"
        )
        where = row_location(self.path, number, line)
        return DataError(
            f"{where}: {'more' if more else 'fewer'} fields than the header has columns",
            got=f"{len(fields)} fields: {shown}",
            expected=f"{width}: {abbreviate(self._layout.header, 20)}",
            fix=self._cause(fields, lines) or fix,
        )

    def _cause(self, fields: list[str], lines: Lines) -> str:
        """The fix for the probable cause of a row's wrong width; empty if only the row itself is wrong."""
        if "\0" in lines.text:
            return "the row holds NUL bytes: the file is damaged here; copy or write it again"
        if fields[0].lstrip().startswith("#") and len(fields) < len(self._layout.header):
            return "delete the line if it is a comment: comments are skipped only above the header"
        if any(quote in lines.text for quote in "“„«"):
            return "put straight double quotes around the field; curly quotes are ordinary characters"
        width = len(self._layout.header)
        if len(fields) > width and any(field.endswith("\\") for field in fields[:-1]):
            return "put the field into double quotes: a backslash before the separator is an ordinary character"
        if width < len(fields) <= width + self._layout.unnamed:
            return (
                f"name column {width + 1} in the header, or put the field that holds the separator into double quotes"
            )
        return self._cause_of_all(fields)

    def _cause_of_all(self, fields: list[str]) -> str:
        """The same for a file in which nearly all rows have the same width, but the header has another."""
        layout, width = self._layout, len(self._layout.header)
        widths = Counter(layout.widths)
        usual, count = widths.most_common(1)[0] if widths else (width, 0)
        if usual == width or count < _NEARLY_ALL * widths.total():
            return ""
        head = f"nearly every row has {usual} fields and line {layout.line:,}, the header, {width}: "
        if width == 1:
            return head + "is it a title? Then delete it; the first line names the columns"
        if usual == width + 1 and fields[0].strip().isdecimal():
            return head + "name the missing column; R leaves it out (write.table(…, row.names = FALSE))"
        return (
            head
            + "correct the header (delete it if it is a title), or put texts that hold the separator into double quotes"
        )


def _blank(fields: list[str], width: int) -> bool:
    """An empty line, as spreadsheets write it; in a table of one column, it is an empty value."""
    return (width > 1 or len(fields) > 1) and not any(map(str.strip, fields))


class TsvTable(CsvTable):
    """TSV, with quoted fields or (as in IANA's registration) with quotes as ordinary characters.

    The first rows decide: fields are quoted, unless rows would then differ from the header in width.
    """

    _preferred = "\t"
