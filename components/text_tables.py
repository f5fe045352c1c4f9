"""CSV, TSV and JSON Lines: text that is decoded line by line. Imports no TensorFlow."""

from __future__ import annotations

import abc
import csv
import gzip
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.files import open_bytes, some
from components.table import Row, Table, place
from models.errors import DataError

# A field longer than this is taken for a quote that was opened and never closed.
_LONGEST_FIELD = 256 * 2**20
# Rows by which it is decided whether a TSV file quotes its fields.
_ROWS_FOR_QUOTES = 1000


class _Lines:
    """The decoded lines of a text file, with their line ends; knows where it stands.

    Attributes:
        line: number of the line read last, from 1.
        offset: byte at which it starts.
        row: the row being read, for messages; 0 is the header. Set by the reader.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.line, self.offset, self.row = path, 0, 0, 0

    def __iter__(self) -> Iterator[str]:
        length = 0
        with open_bytes(self.path) as stream:
            while True:
                try:
                    raw = stream.readline()
                except gzip.BadGzipFile as error:
                    if self.line == 0 and "Not a gzipped file" in str(error):
                        raise self._not_compressed() from None
                    raise self._damaged(error, length) from None
                except (EOFError, zlib.error) as error:
                    raise self._damaged(error, length) from None
                if not raw:
                    return
                self.line, self.offset, length = self.line + 1, self.offset + length, len(raw)
                yield self._decode(raw)

    def _decode(self, raw: bytes) -> str:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._not_utf8(raw, error.start) from None
        if self.line == 1:
            text = text.removeprefix("\ufeff")
            if "\0" in text[:4]:
                raise self._not_utf8(raw, raw.index(b"\0"))
        return text

    def _damaged(self, error: Exception, length: int) -> DataError:
        return DataError(
            f"{self.path}: the compressed file is truncated or damaged",
            got=f"{error} after line {self.line:,}, byte {self.offset + length:,} of the decompressed text",
            expected="a complete gzip file",
            fix="copy or download the file again",
        )

    def _not_compressed(self) -> DataError:
        return DataError(
            f"{self.path}: not compressed, as its name says",
            got="no gzip header",
            expected="a gzip file",
            fix="take .gz off its name, or compress it with gzip",
        )

    def _not_utf8(self, raw: bytes, start: int) -> DataError:
        around = raw[max(0, start - 20) : start].decode("utf-8", "ignore")
        return DataError(
            (place(self.path, self.row, self.line) if self.row else f"{self.path}, line {self.line:,}") + ": not UTF-8",
            got=f"byte 0x{raw[start]:02x} at byte {self.offset + start:,}" + (f", after {around!r}" if around else ""),
            expected="UTF-8",
            fix=(_other_format(raw) if self.line == 1 else "")
            or "save the file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        )


def _other_format(start: bytes) -> str:
    """What to do about a file that begins like no text in UTF-8 but like something else; empty where it does not."""
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip: give it a name that ends in .gz"
    if start.startswith(b"PK\x03\x04"):
        return "it is a ZIP archive or a spreadsheet: unpack it, or save it as CSV"
    if start.startswith(b"PAR1"):
        return "it is a Parquet file: give it a name that ends in .parquet, or set data.format: parquet"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start[:4]:
        return "save the file as UTF-8 (it looks like UTF-16)"
    return ""


class _Separated(Table):
    """What CSV and TSV have in common: RFC 4180's quotes, embedded line ends and all."""

    _dialect: dict[str, Any]

    def _columns(self) -> tuple[str, ...]:
        header = next(iter(_Lines(self.path)), "")
        self._dialect = self._find_dialect(header)
        names = [name.strip() for name in next(self._records(_Lines(self.path)), (0, []))[1]]
        repeated = [name for name, count in Counter(names).items() if count > 1 and name]
        if not any(names):
            raise DataError(f"{self.path}: the header is empty", got=repr(header[:80]), expected="names of columns")
        if "" in names:
            raise DataError(
                f"{self.path}: column {names.index('') + 1} has no name",
                got=f"the header {some([repr(name) for name in names], 20)}",
                expected="a name for every column",
                fix="name the column or delete it (pandas writes such a column unless index=False is given)",
            )
        if repeated:
            raise DataError(
                f"{self.path}: two columns have the same name",
                got=some([repr(name) for name in repeated]),
                expected="each name once",
                fix="rename one of them in the header",
            )
        return tuple(names)

    @abc.abstractmethod
    def _find_dialect(self, header: str) -> dict[str, Any]:
        """The arguments of `csv.reader`."""

    def rows(self) -> Iterator[Row]:
        width = len(self.columns)
        records = self._records(_Lines(self.path))
        next(records, None)
        for number, (line, fields) in enumerate(records, 1):
            if len(fields) != width:
                raise self._ragged(number, line, fields)
            yield Row(number, line, dict(zip(self.columns, fields, strict=True)))

    def _records(self, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
        """Line of the start and fields of every record, header included, blank lines left out."""
        csv.field_size_limit(_LONGEST_FIELD)
        reader = csv.reader(iter(lines), strict=True, **self._dialect)
        while True:
            start = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._broken(lines.row, start, str(error)) from None
            if fields:
                yield start, fields
                lines.row += 1

    def _broken(self, number: int, line: int, why: str) -> DataError:
        expected = "fields in double quotes, with double quotes inside them doubled"
        if "unexpected end of data" in why or "field limit" in why:
            why = "a double quote is opened and never closed"
        elif "new-line character" in why:
            why, expected = "a carriage return outside quotes", "lines that end in a line feed"
        return DataError(
            place(self.path, number, line) if number else f"{self.path}: the header (line {line:,})",
            got=why,
            expected=expected,
            fix="correct the row, or write the file with a CSV library (or as JSON Lines)",
        )

    def _ragged(self, number: int, line: int, fields: list[str]) -> DataError:
        width = len(self.columns)
        more = len(fields) > width
        shown = some([repr(field if len(field) <= 40 else field[:40] + "…") for field in fields], 6)
        return DataError(
            f"{place(self.path, number, line)}: {'more' if more else 'fewer'} fields than the header has columns",
            got=f"{len(fields)} fields: {shown}",
            expected=f"{width}: {some(self.columns, 20)}",
            fix="put the field that holds the separator into double quotes" if more else "complete or delete the row",
        )


class CsvTable(_Separated):
    """CSV. A file whose header has semicolons, tabs or bars and no comma is separated by those."""

    def _find_dialect(self, header: str) -> dict[str, Any]:
        others = max(";\t|", key=header.count)
        return {"delimiter": others if "," not in header and others in header else ","}


class TsvTable(_Separated):
    """TSV, with quoted fields or (as IANA's registration has it) with quotes that are just quotes.

    Which of the two is decided by the first rows: quoted, unless that leaves rows of another width than the header.
    """

    def _find_dialect(self, header: str) -> dict[str, Any]:
        quoted: dict[str, Any] = {"delimiter": "\t"}
        raw = {**quoted, "quoting": csv.QUOTE_NONE}
        if not header.strip():
            return quoted
        self._dialect = quoted
        try:
            widths = {len(fields) for _, fields in itertools.islice(self._records(_Lines(self.path)), _ROWS_FOR_QUOTES)}
        except DataError:
            return raw
        return quoted if len(widths) == 1 else raw


class JsonLinesTable(Table):
    """JSON Lines: an object a line."""

    def rows(self) -> Iterator[Row]:
        lines = _Lines(self.path)
        lines.row = 1
        for text in lines:
            if text.isspace():
                continue
            yield Row(lines.row, lines.line, self._parse(text, lines.row, lines))
            lines.row += 1

    def _parse(self, text: str, number: int, lines: _Lines) -> dict[str, Any]:
        where = place(self.path, number, lines.line)
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            if number == 1 and text.lstrip()[:1] == "[":
                raise self._an_array() from None
            offset = lines.offset + len(text[: error.pos].encode())
            raise DataError(
                f"{where}: not JSON",
                got=f"{error.msg} at byte {offset:,}, near {text[max(0, error.pos - 20) : error.pos + 20].strip()!r}",
                expected='a JSON object a line, for example {"text": "…", "label": "…"}',
                fix="correct the line",
            ) from None
        except (RecursionError, ValueError) as error:  # nested a thousand deep, a number of thousands of digits
            raise DataError(f"{where}: JSON beyond all bounds", got=str(error), expected="texts and numbers") from None
        if isinstance(value, list) and number == 1:
            raise self._an_array()
        if not isinstance(value, dict):
            raise DataError(f"{where}: not a JSON object", got=text.strip()[:60], expected='{"column": value, …}')
        return value

    def _an_array(self) -> DataError:
        return DataError(
            f"{self.path}: a JSON array",
            got="[",
            expected="JSON Lines: an object a line",
            fix="convert it, for example: jq -c '.[]' OLD > NEW",
        )
