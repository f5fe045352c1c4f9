"""The errors of separated files: what is wrong with a row, and what a person would do about it."""

from __future__ import annotations

import re
from collections import Counter

from components.data.formats.files import abbreviate
from components.data.formats.layout import Layout
from components.data.formats.table import row_location
from components.data.formats.text_lines import Lines
from models.errors import DataError

# If this share of the rows has another width than the header, the header is wrong.
_NEARLY_ALL = 0.9


def broken_row(lines: Lines, line: int, why: str) -> DataError:
    """The error for a record that `csv` cannot read; `line`: that on which it starts; `why`: its message."""
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
        row_location(lines.path, lines.row, line) if lines.row else f"{lines.path}: the header (line {line:,})",
        got=why,
        expected=expected,
        fix=fix,
    )


def ragged_row(layout: Layout, number: int, line: int, fields: list[str], lines: Lines) -> DataError:
    """The error for a row with more or fewer fields than the header has columns."""
    width = len(layout.header)
    more = len(fields) > width
    shown = abbreviate([repr(field if len(field) <= 40 else field[:40] + "…") for field in fields], 6)
    fix = (
        "put the field that holds the separator into double quotes"
        if more
        else "complete or delete the row; a text with a line end inside needs double quotes around it"
    )
    where = row_location(lines.path, number, line)
    return DataError(
        f"{where}: {'more' if more else 'fewer'} fields than the header has columns",
        got=f"{len(fields)} fields: {shown}",
        expected=f"{width}: {abbreviate(layout.header, 20)}",
        fix=_cause(layout, fields, lines) or fix,
    )


def _cause(layout: Layout, fields: list[str], lines: Lines) -> str:
    """The fix for the probable cause of a row's wrong width; empty if only the row itself is wrong."""
    if "\0" in lines.text:
        return "the row holds NUL bytes: the file is damaged here; copy or write it again"
    if fields[0].lstrip().startswith("#") and len(fields) < len(layout.header):
        return "delete the line if it is a comment: comments are skipped only above the header"
    if any(quote in lines.text for quote in "“„«"):
        return "put straight double quotes around the field; curly quotes are ordinary characters"
    width = len(layout.header)
    if len(fields) > width and any(field.endswith("\\") for field in fields[:-1]):
        return "put the field into double quotes: a backslash before the separator is an ordinary character"
    if width < len(fields) <= width + layout.unnamed:
        return f"name column {width + 1} in the header, or put the field that holds the separator into double quotes"
    return _cause_of_all(layout, fields)


def _cause_of_all(layout: Layout, fields: list[str]) -> str:
    """The same for a file in which nearly all rows have the same width, but the header has another."""
    width = len(layout.header)
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
