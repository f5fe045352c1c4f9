"""Rows as tasks see them, and the sides of a split that they stand on."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import DataConfig, SplitsConfig
from components.readers import open_table
from components.rows import as_text, records, sources, split_names, text_key
from models.config import TaskConfig
from models.errors import DataError


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **task: str) -> list:
    return [record for _, record in records(open_table(path), TaskConfig(**task))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.jsonl"


def test_single_label(path: Path) -> None:
    rows = [{"text": "a", "label": " yes "}, {"text": "b", "label": 3}, {"text": None, "label": True, "x": [1, "é"]}]
    first, second, third = read(write(path, rows))
    assert (first.text, first.labels, first.number, first.text_pair) == ("a", ("yes",), None, None)
    assert second.labels == ("3",)
    assert (third.text, third.labels, third.others) == ("", ("true",), {"x": '[1, "é"]'})


def test_multi_label_as_text_and_as_list(path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in ("x | y|x|", ["y", 1, None], "", None)] + [{"text": "a"}]
    found = [record.labels for record in read(write(path, rows), type="multi_label")]
    assert found == [("x", "y"), ("y", "1"), (), (), ()]


def test_regression(path: Path) -> None:
    rows = [{"text": "a", "text_b": "b", "label": label} for label in (1, 2.5, " -3e2 ")]
    found = read(write(path, rows), type="regression", text_pair="text_b")
    assert [record.number for record in found] == [1.0, 2.5, -300.0]
    assert {record.text_pair for record in found} == {"b"}


@pytest.mark.parametrize("label", ["n/a", "nan", "inf", "1_000", "3,5", True, [1]])
def test_labels_that_are_no_numbers(path: Path, label: object) -> None:
    write(path, [{"text": "a", "label": 1}, {"text": "b", "label": label}])
    with pytest.raises(DataError) as caught:
        read(path, type="regression")
    assert "in 1 of 2 rows" in caught.value.got
    assert f"row 2 (line 2): {str(label)!r}" in caught.value.got


def test_rows_without_label_are_counted_and_named(path: Path) -> None:
    write(path, [{"text": "a", "label": None if number % 2 else "x"} for number in range(20)])
    with pytest.raises(DataError) as caught:
        read(path)
    assert "no label in 10 of 20 rows: row 2 (line 2), row 4" in caught.value.got
    assert "and 5 more" in caught.value.got
    # the first rows are good: nothing to say of the others
    assert len(list(records(open_table(path), TaskConfig(), limit=1))) == 1


def test_all_kinds_of_mistakes_are_told_at_once(path: Path) -> None:
    path.write_text('{"text": "a", "label": "x"}\n{"label": "x"}\n{"text": "\\ud800", "label": "x"}\n{"text": "b"}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    for kind in ("no 'text' in 1 of 4 rows", "surrogate pair (no Unicode text) in 1 of 4", "no label in 1 of 4"):
        assert kind in caught.value.got


def test_bytes_are_text_where_the_task_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"text": [b"\xc3\xa9", b"\xff"], "label": [b"x", b"x"], "picture": [b"\xff", b"\xfe"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(DataError, match="bytes in 'text' that are not UTF-8 in 1 of 2 rows: row 2") as caught:
        read(path)
    assert caught.value.expected == "Unicode text, in UTF-8"
    pyarrow.parquet.write_table(pyarrow.table(columns).slice(0, 1), path)
    assert [(record.text, record.labels, record.others) for record in read(path)] == [
        ("é", ("x",), {"picture": "\\xff"})
    ]


def test_a_list_as_single_label(path: Path) -> None:
    with pytest.raises(DataError, match="multi_label meant"):
        read(write(path, [{"text": "a", "label": ["x"]}]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (False, "false"),
        (3.0, "3.0"),
        (b"\xff", "\\xff"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        ({"a": datetime.date(2020, 1, 2)}, '{"a": "2020-01-02"}'),
    ],
)
def test_values_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_keys_ignore_white_space_and_nothing_else() -> None:
    assert text_key(" a  b\n") == text_key("a b")
    assert len({text_key("a b"), text_key("ab"), text_key("A b"), text_key("a", "b"), text_key("a b", "")}) == 5
    # The sides of splits hang on these numbers, so they may never change. From: printf Transom | b2sum -l 64
    assert text_key("Transom") == 5044864652581427896
    assert text_key("Transom", "ok") == 7164081123447644286


def test_hashed_splits_have_their_shares() -> None:
    (source,) = sources(DataConfig(path="t.csv", splits=SplitsConfig(train=6, eval=1, test=3)))
    counts = Counter(source.split(text_key(str(number))) for number in range(10_000))
    assert counts["train"] == pytest.approx(6000, rel=0.05)
    assert counts["eval"] == pytest.approx(1000, rel=0.1)
    assert counts["test"] == pytest.approx(3000, rel=0.05)


@given(st.text(), st.text())
def test_a_text_stands_on_one_side(text: str, other: str) -> None:
    (source,) = sources(DataConfig(path="t.csv"))
    assert source.split(text_key(text)) == source.split(text_key(f" {text}\n")) in ("train", "eval", "test")
    assert source.split(text_key(text, other)) == source.split(text_key(text, other))


def test_given_splits() -> None:
    whole = DataConfig(train="a.csv", eval="b.csv", test=("c.csv", "d.csv"))
    assert [(source.key, source.patterns) for source in sources(whole)] == [
        ("train", ("a.csv",)),
        ("eval", ("b.csv",)),
        ("test", ("c.csv", "d.csv")),
    ]
    assert {source.split(key) for source in sources(whole) for key in range(50)} == {"train", "eval", "test"}
    assert split_names(DataConfig(train="a.csv")) == ("train", "eval")
    assert split_names(DataConfig(train="a.csv", eval="b.csv")) == ("train", "eval")
    train = sources(DataConfig(train="a.csv", test="c.csv"))[0]
    counts = Counter(train.split(text_key(str(number))) for number in range(10_000))
    assert counts["eval"] == pytest.approx(1000, rel=0.1)
