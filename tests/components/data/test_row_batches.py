"""Rows read by the column are those read one by one, whatever the file, and so are those of its parts together."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.data.formats.readers import NotPlainError, open_table
from components.data.row_batches import RowBatch, row_batches
from components.data.rows import Record, records
from models.config import TaskConfig
from models.errors import DataError

TASKS = {
    "single": TaskConfig(),
    "pair": TaskConfig(text_pair="other"),
    "multi": TaskConfig(type="multi_label"),
    "number": TaskConfig(type="regression"),
}
FIELDS = [
    "a",
    "b",
    " ",
    "",
    "two\nlines",
    "cr\r\n",
    'say "hi"',
    ' "quoted"',
    "1,5",
    "é\u2028",
    "x|y",
    "[1]",
    "text",
    "-",
]
Outcome = list[Record] | tuple[str, ...]


def one_by_one(path: Path, task: TaskConfig) -> Outcome:
    try:
        return [record for _, record in records(open_table(path), task)]
    except DataError as error:
        return (error.what, error.got, error.expected, error.fix)


def in_batches(path: Path, task: TaskConfig) -> Outcome:
    try:
        return [record for batch in row_batches(open_table(path), task) for record in batch.records()]
    except DataError as error:
        return (error.what, error.got, error.expected, error.fix)


def in_parts(path: Path, task: TaskConfig, size: int) -> list[Record]:
    spans = open_table(path).spans(size)
    return [
        row for span in spans for batch in row_batches(open_table(path, span=span), task) for row in batch.records()
    ]


@st.composite
def separated(draw: st.DrawFn) -> bytes:
    """A CSV file, often an odd one."""
    stream = io.StringIO()
    end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(stream, delimiter=draw(st.sampled_from([",", ";"])), lineterminator=end)
    writer.writerow(["text", "other", "label"])
    row = st.lists(st.sampled_from(FIELDS) | st.text(max_size=5), min_size=3, max_size=3)
    writer.writerows(draw(st.lists(row, min_size=1, max_size=12)))
    content = stream.getvalue().encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(content)))
        content = (
            content[:place]
            + draw(st.sampled_from([b'"', b"\n", b"\n\n", b",", b"\xff", b"\r", b"\0", b""]))
            + content[place:]
        )
    return content


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=separated(), task=st.sampled_from(sorted(TASKS)), size=st.sampled_from([1, 20, 60]))
def test_any_separated_file_reads_the_same_by_the_column_and_in_parts(
    tmp_path: Path, content: bytes, task: str, size: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    try:
        open_table(path)
    except DataError:
        return
    expected = one_by_one(path, TASKS[task])
    assert in_batches(path, TASKS[task]) == expected
    if isinstance(expected, list) and task != "number":
        assert in_parts(path, TASKS[task], size) == expected


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".csv.gz"])
def test_parts_of_every_format_are_the_whole(tmp_path: Path, ending: str) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"text {number}\n" if number % 7 == 0 else f"é {number}", "label": "ab"[number % 2], "n": str(number)}
        for number in range(500)
    ]
    path = tmp_path / f"t{ending}"
    if ending == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=50)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, ["text", "label", "n"])
        writer.writeheader()
        writer.writerows(rows)
        content = stream.getvalue().encode()
        path.write_bytes(gzip.compress(content) if ending == ".csv.gz" else content)
    spans = open_table(path).spans(1000)
    assert len(spans) > 3 or (ending == ".csv.gz" and spans == [None])
    expected = [Record(row["text"], None, (row["label"],), None, {"n": row["n"]}) for row in rows]
    assert in_parts(path, TaskConfig(), 1000) == in_batches(path, TaskConfig()) == expected


def test_a_byte_order_mark_a_title_and_joined_files(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    part = "text,label\n" + "".join(f'"row, {number}",a\n' for number in range(40))
    path.write_bytes(b"\xef\xbb\xbfReviews of 2024\n\n" + part.encode() * 2)
    expected = one_by_one(path, TaskConfig())
    assert len(expected) == 80
    assert in_batches(path, TaskConfig()) == in_parts(path, TaskConfig(), 100) == expected


def test_a_file_that_cannot_be_divided_is_one_part(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label\r" + b"x,a\ry,b\r" * 400)
    assert open_table(path).spans(10) == [None]


def test_plain_rows_are_not_read_one_by_one(tmp_path: Path) -> None:
    """The quick way is taken: otherwise every comparison here would compare it with itself."""
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "good film,a\n" * 5000, encoding="utf-8")
    assert sum(len(batch["text"]) for batch in open_table(path).column_batches(["text"])) == 5000
    path.write_bytes(b"text,label\n" + b"good film,a\n" * 5000 + b"\xff,b\n")
    with pytest.raises(NotPlainError):
        list(open_table(path).column_batches(["text"]))


def test_a_batch_gives_back_its_records() -> None:
    rows = [
        Record("a", "b", ("x", "y"), None, {"one": "1"}),
        Record("", "", (), None, {}),
        Record("c", "d", ("z",), None, {"two": "2"}),
    ]
    batch = RowBatch.of_records(rows, TaskConfig(type="multi_label", text_pair="other"))
    assert list(batch.records()) == rows
    assert batch.record(2) == rows[2]
    assert list(batch.select([2, 0]).records()) == [rows[2], rows[0]]
    number = [Record("a", None, (), 0.5, {})]
    assert list(RowBatch.of_records(number, TASKS["number"]).records()) == number


def test_a_part_without_a_key_that_others_have_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"text": f"text {n}", **({"label": "a"} if n < 50 else {})} for n in range(250)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = TaskConfig(type="multi_label")
    assert in_parts(path, task, 1000) == one_by_one(path, task)
    with pytest.raises(DataError, match="there is no column 'other'"):
        in_parts(path, TaskConfig(text="other"), 1000)


def test_a_parquet_file_without_columns_has_no_column_to_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"__index_level_0__": [1, 2]}), path)
    assert list(open_table(path).column_batches(None)) == []
    assert in_batches(path, TaskConfig()) == one_by_one(path, TaskConfig())
