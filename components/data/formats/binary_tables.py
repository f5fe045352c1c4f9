"""Parquet and TFRecords of tf.Example. TensorFlow is imported only when a TFRecord is read."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.data.formats.files import open_bytes
from components.data.formats.magic_bytes import START, FileKind, recognize
from components.data.formats.table import HeaderlessTable, Row, Span, Table, row_location
from models.errors import DataError

# Arrow's exceptions for a value that Python cannot hold: a date before the year 1, an unknown time zone, nanoseconds.
_NOT_HELD = (ArithmeticError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)


class ParquetTable(Table):
    """Parquet. pandas' index columns are left out, and so are columns whose names are missing or duplicated."""

    def _columns(self) -> tuple[str, ...]:
        with open_bytes(self.path):  # reports a problem with the path in Transom's words
            names = [name for name in self._open().schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]
        for name, count in Counter(names).items():
            if count > 1 or not name:
                self.left_out[name] = f"appears {count} times in the file" if name else "has no name"
        return tuple(name for name in names if name not in self.left_out)

    def _open(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
        number = 0
        for columns in self.column_batches(needed):
            for values in zip(*columns.values(), strict=True):
                number += 1
                yield Row(number, 0, dict(zip(self.columns, values, strict=True)))

    def column_batches(self, needed: Collection[str] | None) -> Iterator[dict[str, Sequence[Any]]]:
        import pyarrow

        if not self.columns:
            return
        number = 0
        try:
            file = self._open()
            groups = None if self.span is None else list(range(*self.span))
            for batch in file.iter_batches(batch_size=1000, row_groups=groups, columns=list(self.columns)):
                yield {name: self._values(batch.column(name), name, number, needed) for name in self.columns}
                number += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def spans(self, size: int) -> list[Span | None]:
        metadata = self._open().metadata
        found: list[Span | None] = []
        begin = read = 0
        for group in range(metadata.num_row_groups):
            read += metadata.row_group(group).total_byte_size
            if read >= size:
                found.append((begin, group + 1))
                begin, read = group + 1, 0
        if begin < metadata.num_row_groups:
            found.append((begin, metadata.num_row_groups))
        return found if len(found) > 1 else [None]

    def _values(self, array: Any, name: str, before: int, needed: Collection[str] | None) -> list[Any]:
        """The values of a column as Python objects, converted one by one if some cannot be held."""
        with contextlib.suppress(*_NOT_HELD):
            values: list[Any] = array.to_pylist()
            return values
        values = []
        for index in range(len(array)):
            try:
                values.append(array[index].as_py())
            except _NOT_HELD as error:
                values.append(self._nearest(array.slice(index, 1), error))
                self.unreadable.add(name)
                if (values[-1] is None or isinstance(error, UnicodeDecodeError)) and _is_needed(name, needed):
                    raise self._cannot_be_read(name, before + index + 1, error) from None
        return values

    def _nearest(self, one: Any, error: Exception) -> str | None:
        """The text of a value that Python cannot hold, as Arrow writes it; None if Arrow cannot either."""
        import pyarrow

        if isinstance(error, UnicodeDecodeError):
            return bytes(error.object).decode("utf-8", "backslashreplace")
        zone = ""
        if pyarrow.types.is_timestamp(one.type) and one.type.tz is not None:
            # Parquet stores the instant in UTC; the zone only affects the display.
            one, zone = one.cast(pyarrow.timestamp(one.type.unit, "UTC")), "+00:00"
            one = one.cast(pyarrow.int64()).cast(pyarrow.timestamp(one.type.unit))
        try:
            text: str | None = one.cast(pyarrow.string())[0].as_py()
        except _NOT_HELD:
            return None
        return None if text is None else text.replace(" ", "T") + zone

    def _cannot_be_read(self, name: str, number: int, error: Exception) -> DataError:
        where = f"{row_location(self.path, number)}: column {name!r}"
        if isinstance(error, UnicodeDecodeError):
            return _not_utf8(where, error, "file")
        return DataError(
            f"{where} cannot be read",
            got=str(error).split("\n")[0][:200] or type(error).__name__,
            expected="a value that Python can hold",
            fix="write the column as text, for example df[column].astype(str)",
        )

    def _damaged(self, error: Exception) -> DataError:
        with open_bytes(self.path) as stream:
            start = stream.read(START)
        found = None if start.startswith(b"PAR1") else recognize(start) or _text(start)
        return DataError(
            f"{self.path}: not a complete Parquet file",
            got=found.what if found else str(error).split("\n")[0][:200],
            expected="a Parquet file",
            fix=found.fix if found else "copy or write the file again",
        )


def _text(start: bytes) -> FileKind | None:
    """A description of a file that begins with text; None if it does not."""
    text = start.decode("utf-8", "ignore").strip()
    if not text or (not text.isprintable() and not all(line.isprintable() for line in text.expandtabs().splitlines())):
        return None
    ending = ".jsonl" if text.startswith("{") else ".csv"
    return FileKind(f"text: {text.splitlines()[0][:60]!r}", f"give it a name that ends in {ending}")


def _not_utf8(where: str, error: UnicodeDecodeError, written: str) -> DataError:
    return DataError(
        f"{where} is not UTF-8",
        got=f"byte 0x{error.object[error.start]:02x} at byte {error.start:,} of the value",
        expected="UTF-8",
        fix=f"write the {written} again from properly decoded text",
    )


def _is_needed(name: str, needed: Collection[str] | None) -> bool:
    return needed is None or name in needed


# TensorFlow's additions to the messages of its operations.
_GRAPH_NAMES = re.compile(r"\{\{.*?\}\} ?| \[Op:[^\]]*\]")


def check_frames(path: Path) -> None:
    """Checks that a TFRecord file ends at the end of a record, without TensorFlow and without reading the records.

    A record is its length (8 bytes, little-endian), a checksum of that (4), the bytes, and their checksum (4).
    Compressed files are not checked here.

    Raises:
        DataError: the file is truncated, or not a TFRecord file.
    """
    size = path.stat().st_size
    with open_bytes(path) as stream:
        if path.suffix.lower() == ".gz" or stream.read(2) == b"\x1f\x8b":
            return
        end, number = 0, 1
        while end < size:
            stream.seek(end)
            end += 12 + int.from_bytes(stream.read(8), "little") + 4
            if end > size:
                raise _damaged_record(path, number, f"a record that ends at byte {end:,} of {size:,}")
            number += 1


def _damaged_record(path: Path, number: int, why: str) -> DataError:
    return DataError(
        f"{row_location(path, number)}: the TFRecord is truncated or damaged",
        got=why.split("\n")[0][:200],
        expected="TFRecords of tf.Example",
        fix="write the file again",
    )


class TFRecordTable(HeaderlessTable):
    """TFRecords of tf.Example, with or without gzip. A feature with one value is that value, with several a list."""

    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
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
                raise _damaged_record(self.path, number, _GRAPH_NAMES.sub("", error.message)) from None
            yield Row(number, 0, self._values(record, number, needed))

    def _values(self, record: bytes, number: int, needed: Collection[str] | None) -> dict[str, Any]:
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            example = tf.train.Example.FromString(record)
        except DecodeError:
            raise DataError(
                f"{row_location(self.path, number)}: not a tf.Example",
                got=f"{len(record):,} bytes",
                expected="TFRecords of serialized tf.train.Example",
                fix="write tf.train.Example protos",
            ) from None
        values: dict[str, Any] = {}
        for name, feature in example.features.feature.items():
            kind = feature.WhichOneof("kind")
            items = list(getattr(feature, kind).value) if kind else []
            if kind == "bytes_list":
                items = [self._decode(item, name, number, needed) for item in items]
            values[name] = items if len(items) > 1 else items[0] if items else None
        return values

    def _decode(self, item: bytes, name: str, number: int, needed: Collection[str] | None) -> str:
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            if not _is_needed(name, needed):
                self.unreadable.add(name)
                return item.decode("utf-8", "backslashreplace")
            where = f"{row_location(self.path, number)}: feature {name!r}"
            raise _not_utf8(where, error, "records") from None
