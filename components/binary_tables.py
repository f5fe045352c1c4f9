"""Parquet and TFRecords of tf.Example. TensorFlow is imported where a TFRecord is read, and only there."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.files import open_bytes, some
from components.table import Row, Table, place
from models.errors import DataError


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


# What TensorFlow puts around the messages of its operations.
_GRAPH_NAMES = re.compile(r"\{\{.*?\}\} ?| \[Op:[^\]]*\]")


def check_frames(path: Path) -> None:
    """Sees whether a TFRecord file ends where a record ends, without TensorFlow and without reading the records.

    A record is its length (8 bytes, little-endian), a checksum of that (4), the bytes, and their checksum (4).
    Compressed files are left to the reader.

    Raises:
        DataError: the file is truncated, or no TFRecord.
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
        f"{place(path, number)}: the TFRecord is truncated or damaged",
        got=why.split("\n")[0][:200],
        expected="TFRecords of tf.Example",
        fix="write the file again",
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
                raise _damaged_record(self.path, number, _GRAPH_NAMES.sub("", error.message)) from None
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
