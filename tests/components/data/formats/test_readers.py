"""Every format returns what was written, and errors name the position of damage."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.data.formats.readers import check_frames, open_table
from models.errors import DataError

HARD = [
    "plain",
    'quotes "inside" and ""doubled""',
    "a\nb\r\nc",
    "tab\tcomma,semicolon;pipe|",
    "中文，日本語、한국어",
    "e\u0301 é \u200b \u00ad \ufeff in the middle",
    "🏳️‍🌈",
    "NUL \0 inside",
    " spaces ",
    "",
    "x" * 1_000_000,
]
# Everything UTF-8 can hold; a carriage return outside quotes ends a line, and the csv module quotes it.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TABLES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)
EASY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def values(path: Path, configured: str = "auto") -> list[dict]:
    return [row.values for row in open_table(path, configured).rows()]


def write_csv(path: Path, rows: list[tuple], **dialect: object) -> Path:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as stream:
        csv.writer(stream, **dialect).writerows([("text", "label"), *rows])
    return path


def refused(path: Path, configured: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        values(path, configured)
    assert str(path) in caught.value.what
    return caught.value


@EASY
@given(rows=TABLES)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_separated_round_trip(tmp_path: Path, name: str, quoting: int, rows: list[tuple[str, str]]) -> None:
    path = write_csv(tmp_path / name, rows, delimiter="\t" if ".tsv" in name else ",", quoting=quoting)
    filled = [row for row in rows if any(map(str.strip, row))]  # spreadsheets write blank lines as empty fields
    assert [tuple(row.values()) for row in values(path)] == filled


@EASY
@given(rows=TABLES)
def test_json_lines_round_trip(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "t.jsonl"
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=len(text) % 2 == 0) for text, label in rows]
    path.write_bytes(("\n".join(lines) + "\n").encode())
    assert [tuple(row.values()) for row in values(path)] == rows


@EASY
@given(rows=TABLES)
def test_parquet_round_trip(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [a for a, _ in rows], "label": [b for _, b in rows]}), path)
    assert [tuple(row.values()) for row in values(path)] == rows


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.jsonl.gz", "t.parquet", "t.tfrecord"])
def test_hard_strings(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "csv" in name or "tsv" in name:
        write_csv(path, [(text, "a") for text in HARD], delimiter="\t" if "tsv" in name else ",")
    elif "jsonl" in name:
        lines = [json.dumps({"text": text, "label": "a"}) for text in HARD]
        (gzip.open if name.endswith("gz") else open)(path, "wb").write("\n".join(lines).encode())
    elif "parquet" in name:
        pyarrow.parquet.write_table(pyarrow.table({"text": HARD, "label": ["a"] * len(HARD)}), path)
    else:
        write_tfrecord(path, HARD)
    # tf.Example cannot distinguish an empty list from a missing value, but an empty string is neither
    assert [row["text"] for row in values(path)] == HARD


def write_tfrecord(path: Path, texts: list[str], options: str = "") -> Path:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), options) as writer:
        for text in texts:
            example = tf.train.Example()
            example.features.feature["text"].bytes_list.value.append(text.encode())
            example.features.feature["label"].bytes_list.value.extend([b"a", b"b"])
            writer.write(example.SerializeToString())
    return path


def test_rows_know_their_number_and_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\n\n"a\nb",x\nc,y\n', encoding="utf-8")
    assert [(row.number, row.line) for row in open_table(path).rows()] == [(1, 3), (2, 5)]


def test_bom_crlf_and_spaces_around_names(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbftext, label\r\n\xef\xbb\xbfa,b\r\n")
    assert values(path) == [{"text": "\ufeffa", "label": "b"}]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_of_csv(tmp_path: Path, separator: str) -> None:
    path = write_csv(tmp_path / "t.csv", [("one, two", "b")], delimiter=separator)
    assert values(path) == [{"text": "one, two", "label": "b"}]


def test_tsv_with_quotes_that_are_just_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('text\tlabel\n"opened only\tx\nb\ty\n"a" b\tz\n', encoding="utf-8")
    assert [row["text"] for row in values(path)] == ['"opened only', "b", '"a" b']


@pytest.mark.parametrize("options", ["", "GZIP"])
def test_tfrecord(tmp_path: Path, options: str) -> None:
    path = write_tfrecord(tmp_path / ("t.tfrecord" + (".gz" if options else "")), ["é"], options)
    assert values(path) == [{"text": "é", "label": ["a", "b"]}]
    assert set(open_table(path).columns) == {"text", "label"}


def test_damaged_tfrecord(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "t.tfrecord", ["one", "two"])
    check_frames(path)
    path.write_bytes(path.read_bytes()[:-5])
    assert "row 2" in refused(path).what
    assert "{{" not in refused(path).got
    with pytest.raises(DataError, match="row 2: the TFRecord is truncated"):
        check_frames(path)
    path.write_bytes(b"text,label\na,b\n" * 9)
    assert "row 1" in refused(path).what
    with pytest.raises(DataError, match="row 1: the TFRecord is truncated"):
        check_frames(path)


def test_pandas_index_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "__index_level_0__": [7]}), path)
    assert values(path) == [{"text": "a"}]


def test_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    texts = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [*pyarrow.array(["ok", "abc"]).buffers()[:2], pyarrow.py_buffer(b"okab\xff")]
    )
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    error = refused(path)
    assert "row 2" in error.what
    assert "0xff at byte 2" in error.got


@pytest.mark.parametrize(
    ("content", "what", "got"),
    [
        (b"text,label\na,b\nc\xe9d,e\n", "row 2 (line 3): not UTF-8", "byte 0xe9 at byte 16"),
        (b"t\xe9xt,label\na,b\n", "line 1: not UTF-8", "byte 0xe9 at byte 1"),
        ("text,label\na,b\n".encode("utf-16"), "not a text file in UTF-8", "UTF-16"),
        ("text,label\na,b\n".encode("utf-16-le"), "not a text file in UTF-8", "UTF-16"),
        (b'text,label\na,b\n"c\nd,e\n', "row 2 (line 3)", "opened and never closed"),
        (b'text,label\n"a"b,c\n', "row 1 (line 2)", "expected after"),
        (b"text,label\na,b,c\n", "row 1 (line 2): more fields", "3 fields: 'a', 'b', 'c'"),
        (b'text,label\n"a\nb",c\nd\n', "row 2 (line 4): fewer fields", "1 fields"),
        (b"text,label\na\rb,c\n", "row 1 (line 2)", "carriage return"),
        (b"\n\n", "the header is empty", ""),
        (b"", "is empty", "0 bytes"),
    ],
)
def test_damaged_csv(tmp_path: Path, content: bytes, what: str, got: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    error = refused(path)
    assert what in error.what
    assert got in error.got
    assert error.expected


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        ("text,label\na,b\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(b"text,label\na,b\n", mtime=0), "ends in .gz"),
        (b"PK\x03\x04\x14\xff", "spreadsheet"),
        (b"PAR1\x15\xf8", ".parquet"),
        (b"text,label\n\xe9,b\n", "WINDOWS-1252"),
    ],
)
def test_files_that_are_not_text_are_recognized(tmp_path: Path, content: bytes, fix: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    error = refused(path)
    assert "UTF-8" in error.what
    assert fix in error.fix


@pytest.mark.parametrize(
    ("content", "what", "got"),
    [
        (b'{"text": "a"}\n\n{"text": "\xff"}\n', "row 2 (line 3): not UTF-8", "byte 0xff at byte 25"),
        (b'{"text": "a"}\n{"text": "b"\n', "row 2 (line 2): not JSON", "at byte 27"),
        (b'{"text": "a"}\n["b"]\n', "row 2 (line 2): not a JSON object", '["b"]'),
        (b'[{"text": "a"},\n', "a JSON array", "["),
        (b'[{"text": "a"}]\n', "a JSON array", "["),
        (b'{"text": ' + b"[" * 5000 + b"}\n", "row 1 (line 1)", "recursion"),
    ],
)
def test_damaged_json_lines(tmp_path: Path, content: bytes, what: str, got: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    error = refused(path)
    assert what in error.what
    assert got in error.got


def test_truncated_gzip(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv.gz", [(os.urandom(20).hex(), "a") for _ in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(path).what
    path.write_bytes(whole[:40] + bytes(40) + whole[80:])
    assert "damaged" in refused(path).what
    path.write_bytes(b"text,label\na,b\n")
    assert "not compressed" in refused(path).what


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-10])
    assert "not a complete Parquet file" in refused(path).what


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.csv").what
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.csv").what
    (tmp_path / "t.dat").write_text("text,label\na,b\n")
    assert "data.format" in refused(tmp_path / "t.dat").fix
    assert values(tmp_path / "t.dat", "csv") == [{"text": "a", "label": "b"}]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [("a", "b")])
    path.chmod(0)
    assert "Permission denied" in refused(path).got


def test_a_missing_column_names_the_others(tmp_path: Path) -> None:
    table = open_table(write_csv(tmp_path / "t.csv", [("a", "b")]))
    table.require(["text", "label"])
    with pytest.raises(DataError) as caught:
        table.require(["Labels"])
    assert "no column 'Labels'" in caught.value.what
    assert "'text', 'label'" in caught.value.got
    assert "'label' meant" in caught.value.expected


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("w", encoding="utf-8") as stream:
        stream.write("text,label\n")
        for number in range(300_000):
            stream.write(f"{number} {'long ' * 40},a\n")
    code = (
        "import resource, sys; from pathlib import Path; from components.data.formats.readers import open_table\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"count = sum(1 for _ in open_table(Path({str(path)!r})).rows())\n"
        "assert 'tensorflow' not in sys.modules and 'pyarrow' not in sys.modules\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    root = Path(__file__).resolve().parents[4]
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    rows, grown_kb = map(int, output.split())
    assert rows == 300_000
    assert grown_kb < 10_000 < path.stat().st_size / 1024 / 4
