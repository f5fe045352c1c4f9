"""Tables as rows: CSV, TSV, JSON Lines, Parquet and TFRecords of tf.Example, read in constant memory.

`open_table` finds the format and the columns; `Table.rows` yields the rows one after the other. Whatever is wrong
with a file is a `DataError` that names the file, the row (data rows from 1, the header not counted) and, in the text
formats, the line and the byte (of the decompressed file, from 0). Imports no TensorFlow, but for TFRecords.
"""

from __future__ import annotations

import abc
import csv
import difflib
import gzip
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.files import format_of, open_bytes, some
from models.errors import DataError

# A field longer than this is taken for a quote that was opened and never closed.
_LONGEST_FIELD = 256 * 2**20
# Rows whose keys make up the columns of a format without a header.
_ROWS_FOR_COLUMNS = 100
# Rows by which it is decided whether a TSV file quotes its fields.
_ROWS_FOR_QUOTES = 1000


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


def open_table(path: Path, configured: str = "auto") -> Table:
    """Opens a table and reads its header.

    Args:
        configured: `DataConfig.format`.

    Raises:
        DataError: the file or its header cannot be read.
    """
    kinds: dict[str, type[Table]] = {
        "csv": CsvTable,
        "tsv": TsvTable,
        "jsonl": JsonLinesTable,
        "parquet": ParquetTable,
        "tfrecord": TFRecordTable,
    }
    return kinds[format_of(path, configured)](path)


def place(path: Path, row: int, line: int = 0) -> str:
    """How messages name a row."""
    return f"{path}, row {row:,}" + (f" (line {line:,})" if line else "")


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
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise DataError(
                        f"{self.path}: the compressed file is truncated or damaged",
                        got=f"{error} after line {self.line:,}, byte {self.offset + length:,} of the decompressed text",
                        expected="a complete gzip file",
                        fix="copy or download the file again",
                    ) from None
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

    def _not_utf8(self, raw: bytes, start: int) -> DataError:
        utf16 = self.line == 1 and (raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:4])
        around = raw[max(0, start - 20) : start].decode("utf-8", "ignore")
        return DataError(
            (place(self.path, self.row, self.line) if self.row else f"{self.path}, line {self.line:,}") + ": not UTF-8",
            got=f"byte 0x{raw[start]:02x} at byte {self.offset + start:,}" + (f", after {around!r}" if around else ""),
            expected="UTF-8",
            fix="save the file as UTF-8"
            + (" (it looks like UTF-16)" if utf16 else ", for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"),
        )


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
    """CSV. A file whose header has semicolons or tabs and no comma is separated by those."""

    def _find_dialect(self, header: str) -> dict[str, Any]:
        others = max(";\t", key=header.count)
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


class ParquetTable(Table):
    """Parquet. pandas' index columns are left out."""

    def _columns(self) -> tuple[str, ...]:
        with open_bytes(self.path):  # says what is wrong with the path in our words
            names = [name for name in self._open().schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated or "" in names:
            raise DataError(
                f"{self.path}: every column needs a name of its own",
                got=some([repr(name) for name in names], 20),
                fix="rename the columns",
            )
        return tuple(names)

    def _open(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def rows(self) -> Iterator[Row]:
        import pyarrow

        number = 0
        try:
            for batch in self._open().iter_batches(batch_size=1000, columns=list(self.columns)):
                for values in self._values(batch, number):
                    number += 1
                    yield Row(number, 0, values)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def _values(self, batch: Any, before: int) -> Iterable[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = batch.to_pylist()
            return rows
        except UnicodeDecodeError:
            return [self._one(batch.slice(index, 1), before + index + 1) for index in range(batch.num_rows)]

    def _one(self, row: Any, number: int) -> dict[str, Any]:
        values = {}
        for name in self.columns:
            try:
                values[name] = row.column(name)[0].as_py()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place(self.path, number)}: column {name!r} is not UTF-8",
                    got=f"byte 0x{error.object[error.start]:02x} at byte {error.start:,} of the value",
                    expected="UTF-8",
                    fix="write the file again from properly decoded text",
                ) from None
        return values

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: not a complete Parquet file",
            got=str(error).split("\n")[0][:200],
            expected="a Parquet file",
            fix="copy or write the file again",
        )


class TFRecordTable(Table):
    """TFRecords of tf.Example, with or without gzip. A feature with one value is that value, with several a list."""

    def rows(self) -> Iterator[Row]:
        import tensorflow as tf

        with open_bytes(self.path) if self.path.suffix != ".gz" else self.path.open("rb") as stream:
            gzipped = self.path.suffix == ".gz" or stream.read(2) == b"\x1f\x8b"
        records = iter(tf.data.TFRecordDataset(str(self.path), "GZIP" if gzipped else "").as_numpy_iterator())
        for number in itertools.count(1):
            try:
                record = next(records)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                raise DataError(
                    f"{place(self.path, number)}: the TFRecord is truncated or damaged",
                    got=error.message.split("\n")[0][:200],
                    expected="TFRecords of tf.Example",
                    fix="write the file again",
                ) from None
            yield Row(number, 0, self._values(record, number))

    def _values(self, record: bytes, number: int) -> dict[str, Any]:
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            example = tf.train.Example.FromString(record)
        except DecodeError:
            raise DataError(
                f"{place(self.path, number)}: not a tf.Example",
                got=f"{len(record):,} bytes",
                expected="TFRecords of serialized tf.train.Example",
                fix="write tf.train.Example protos",
            ) from None
        values: dict[str, Any] = {}
        for name, feature in example.features.feature.items():
            kind = feature.WhichOneof("kind")
            items = list(getattr(feature, kind).value) if kind else []
            if kind == "bytes_list":
                items = [self._decode(item, name, number) for item in items]
            values[name] = items if len(items) > 1 else items[0] if items else None
        return values

    def _decode(self, item: bytes, name: str, number: int) -> str:
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place(self.path, number)}: feature {name!r} is not UTF-8",
                got=f"byte 0x{item[error.start]:02x} at byte {error.start:,} of the value",
                expected="UTF-8",
                fix="write the records again from properly decoded text",
            ) from None
