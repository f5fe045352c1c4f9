"""Values of Parquet and tf.Example that Python cannot hold: unused columns are ignored."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.data.formats.readers import open_table
from components.data.rows import records
from models.config import TaskConfig
from models.errors import DataError

NAIVE, ZONED = pa.timestamp("us"), pa.timestamp("us", tz="Mars/Olympus_Mons")
FAR = 10**17  # microseconds: the year 5138
ODD = {
    "date before the year 1": pa.array([-800_000, 0], pa.int32()).cast(pa.date32()),
    "date after the year 9999": pa.array([5_000_000, 0], pa.int32()).cast(pa.date32()),
    "milliseconds": pa.array([-(10**14), 0], pa.int64()).cast(pa.date64(), safe=False),
    "time before the year 1": pa.array([-FAR, 0], pa.int64()).cast(NAIVE),
    "far seconds": pa.array([10**13, 0], pa.int64()).cast(pa.timestamp("s")),
    "far with a zone": pa.array([10**13, 0], pa.int64()).cast(pa.timestamp("ms", tz="Europe/Berlin")),
    "zone that nobody knows": pa.array([0, 1], pa.int64()).cast(ZONED),
    "nanoseconds": pa.array([1, 2], pa.int64()).cast(pa.timestamp("ns")),
    "time of day": pa.array([1, 2], pa.int64()).cast(pa.time64("ns")),
    "duration": pa.array([2**62, 1], pa.int64()).cast(pa.duration("us")),
    "duration in ns": pa.array([1, 2], pa.int64()).cast(pa.duration("ns")),
    "decimal": pa.array([decimal.Decimal("1e30"), None], pa.decimal256(60, 10)),
    "bytes": pa.array([b"\xff", b"\x00"]),
    "fixed bytes": pa.array([b"\xff\x00", b"ab"], pa.binary(2)),
    "half": pa.array([1.5, None], pa.float32()).cast(pa.float16()),
    "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "list": pa.array([[1], None]),
    "list of dates": pa.array([[-800_000], []], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
    "struct": pa.array([{"a": {"b": [1]}}, None]),
    "struct with a date": pa.StructArray.from_arrays([pa.array([-800_000, 0], pa.int32()).cast(pa.date32())], ["d"]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "nothing": pa.nulls(2),
    "not UTF-8": pa.Array.from_buffers(
        pa.string(), 2, [*pa.array(["ok", "abc"]).buffers()[:2], pa.py_buffer(b"okab\xff")]
    ),
}


def write(folder: Path, **columns: object) -> Path:
    path = folder / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"text": ["so good", "so bad"], "label": ["a", "b"], **columns}), path)
    return path


def test_unused_columns_are_ignored(tmp_path: Path) -> None:
    found = [record for _, record in records(open_table(write(tmp_path, **ODD)), TaskConfig())]
    assert [(record.text, record.labels) for record in found] == [("so good", ("a",)), ("so bad", ("b",))]
    others = found[0].others
    assert others["date before the year 1"].startswith("-")
    assert others["zone that nobody knows"] == "1970-01-01T00:00:00.000000+00:00"
    assert others["unsigned"] == str(2**64 - 1)
    for value in others.values():
        value.encode()


# Arrow gives a text for these, in every row.
AS_TEXT = ("zone that nobody knows", "dictionary", "nothing")


@pytest.mark.parametrize("name", sorted(ODD.keys() - set(AS_TEXT)))
def test_a_used_column_that_is_not_text_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, odd=ODD[name])
    with pytest.raises(DataError) as caught:
        list(records(open_table(path), TaskConfig(text="odd")))
    assert str(path) in caught.value.what
    assert "'odd'" in caught.value.render()
    assert "row " in caught.value.render()


@pytest.mark.parametrize(
    ("name", "texts"), zip(AS_TEXT, (["1970-01-01T00:00:00.000000+00:00"], ["a", "b"], [""]), strict=True)
)
def test_a_used_column_that_has_a_text_is_read(tmp_path: Path, name: str, texts: list[str]) -> None:
    path = write(tmp_path, odd=ODD[name])
    found = [record.text for _, record in records(open_table(path), TaskConfig(text="odd"))]
    assert found[: len(texts)] == texts


def test_a_date_that_python_cannot_hold_is_a_label_like_others(tmp_path: Path) -> None:
    path = write(tmp_path, date=ODD["date before the year 1"])
    labels = [record.labels[0] for _, record in records(open_table(path), TaskConfig(label="date"))]
    assert labels[1] == datetime.date(1970, 1, 1).isoformat()
    assert labels[0].startswith("-")
    assert labels[0].count("-") == 3


def test_a_value_that_is_not_utf8_is_refused_where_it_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, words=ODD["not UTF-8"])
    with pytest.raises(DataError, match="row 2: column 'words' is not UTF-8"):
        list(records(open_table(path), TaskConfig(text="words")))


def test_duplicate_names_are_refused_only_if_used(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = [pa.array(["so good"]), pa.array(["a"]), pa.array([1]), pa.array([2]), pa.array([3])]
    pyarrow.parquet.write_table(pa.Table.from_arrays(columns, ["text", "label", "x", "x", ""]), path)
    table = open_table(path)
    assert [row.values for row in table.rows()] == [{"text": "so good", "label": "a"}]
    with pytest.raises(DataError, match="column 'x' appears 2 times"):
        table.require(["x"])


@pytest.mark.parametrize(
    ("content", "got", "fix"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
        (b"text,label\na,b\n", "text: 'text,label'", ".csv"),
        (b'{"text": "a"}\n', "text: ", ".jsonl"),
        (b"<html>", "a web page", "download"),
        (b"PAR1" + bytes(40), "Parquet", "copy or write the file again"),
    ],
)
def test_a_file_that_is_not_parquet_is_recognized(tmp_path: Path, content: bytes, got: str, fix: str) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a complete Parquet file") as caught:
        open_table(path)
    assert got in caught.value.got
    assert fix in caught.value.fix
