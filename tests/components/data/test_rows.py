"""Rows as tasks read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from components.data.formats.readers import open_table
from components.data.rows import records
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


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("label", ['{"red": 1}', "{'red': 1}", "[['red'], ['blue']]", {"red": 1}])
def test_a_cell_that_is_not_text_is_not_a_label(path: Path, task: str, label: object) -> None:
    write(path, [{"text": "a", "label": "red"}, {"text": "b", "label": label}])
    with pytest.raises(DataError) as caught:
        read(path, type=task)
    assert "for a label in 1 of 2 rows: row 2 (line 2)" in caught.value.got


@pytest.mark.parametrize("label", [[0, 1, 0], [0.0, 1.0, 0.0], "[0, 1, 0]", "[0. 1. 0.]"])
def test_a_vector_of_zeros_and_ones_is_not_a_list_of_labels(path: Path, label: object) -> None:
    write(path, [{"text": "a", "label": label}])
    with pytest.raises(DataError) as caught:
        read(path, type="multi_label")
    assert "a vector of zeros and ones for labels in 1 of 1 rows: row 1" in caught.value.got
    assert "the names of a row's labels" in caught.value.fix


def test_regression(path: Path) -> None:
    rows = [{"text": "a", "text_b": "b", "label": label} for label in (1, 2.5, " -3e2 ")]
    found = read(write(path, rows), type="regression", text_pair="text_b")
    assert [record.number for record in found] == [1.0, 2.5, -300.0]
    assert {record.text_pair for record in found} == {"b"}


@pytest.mark.parametrize("label", ["n/a", "nan", "inf", "1_000", "3,5", "4/5", "(5)", "5 stars", True, [1], 10**400])
def test_labels_that_are_not_numbers(path: Path, label: object) -> None:
    write(path, [{"text": "a", "label": 1}, {"text": "b", "label": label}])
    with pytest.raises(DataError) as caught:
        read(path, type="regression")
    assert "in 1 of 2 rows" in caught.value.got
    assert f"row 2 (line 2): {str(label)[:40]!r}" in caught.value.got


@pytest.mark.parametrize(
    ("labels", "mark", "numbers"),
    [
        (["1,000", "2,500.5"], None, [1000, 2500.5]),
        (["1,000", "2,500"], ".", [1000, 2500]),
        (["1,000", "2,500"], ",", [1, 2.5]),
        (["3,5", "1.000,5"], ",", [3.5, 1000.5]),
        (["85%", "0", "7 %"], None, [85, 0, 7]),
        (["$3.50", "-$1", "$1,000.00"], None, [3.5, -1, 1000]),
        (["−3", "½", "1 000", "1e3"], None, [-3, 0.5, 1000, 1000]),
        (["4.658e-04", "1.250E+01"], None, [0.0004658, 12.5]),
        (["4,658e-04"], ",", [0.0004658]),
        ([1, 2.5, "3.25"], None, [1, 2.5, 3.25]),
    ],
)
def test_numbers_as_people_write_them(path: Path, labels: list, mark: str | None, numbers: list[float]) -> None:
    write(path, [{"text": "a", "label": label} for label in labels])
    task = TaskConfig(type="regression", decimal=mark)
    assert [record.number for _, record in records(open_table(path), task)] == numbers


@pytest.mark.parametrize("label", [1e39, -1e20, "1e39", "-9e99", "1e400", "inf", 10**400])
def test_a_number_that_cannot_be_computed_with_is_refused(path: Path, label: Any) -> None:
    write(path, [{"text": "a", "label": 1.5}, {"text": "b", "label": label}])
    with pytest.raises(DataError, match="too large to learn from") as caught:
        list(records(open_table(path), TaskConfig(type="regression")))
    assert "row 2" in caught.value.got
    write(path, [{"text": "a", "label": 1.5}, {"text": "b", "label": 1_790_000_000_123_456_789}])
    assert len(list(records(open_table(path), TaskConfig(type="regression")))) == 2, "nanoseconds since 1970"


@pytest.mark.parametrize(
    ("labels", "mark", "got", "fix"),
    [
        (["1,000", "2,500"], None, "'1,000' is 1000 with a decimal point and 1 with a decimal comma", "task.decimal"),
        (["1.000", "2.500"], None, "'1.000' is 1 with a decimal point and 1000 with a decimal comma", "task.decimal"),
        (["3,5", "4,5"], None, "a label with a decimal comma in 2 of 2 rows", "task.decimal: ','"),
        (
            ["3,5", "1,234.5"],
            None,
            "'1,234.5' can only have a decimal point, '3,5' only a decimal comma",
            "in the same way",
        ),
        (["85%", "0.9"], None, "% in 1 rows, none in 1 rows", "one unit"),
        ([0.5, "85%"], None, "none in 1 rows, % in 1 rows", "one unit"),
        (["$3", "€3"], None, "$ in 1 rows, € in 1 rows", "one unit"),
        (["3.5", "4"], ",", "not a number with a decimal comma in 1 of 2 rows: row 1 (line 1): '3.5'", "correct"),
    ],
)
def test_ambiguous_numbers_are_refused(path: Path, labels: list, mark: str | None, got: str, fix: str) -> None:
    write(path, [{"text": "a", "label": label} for label in labels])
    with pytest.raises(DataError) as caught:
        list(records(open_table(path), TaskConfig(type="regression", decimal=mark)))
    assert got in caught.value.got
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        ([1, 1.0, "1", "1.0", "1.00", " 1 "], "1"),
        ([True, "true", "True", "TRUE"], "true"),
        (["café", "cafe\u0301", "caf\u00ad\u00e9", "\ufeffcafé", "café\u200b", "\u00a0café"], "café"),
        (["New York", "New\u00a0York"], "New York"),
    ],
)
def test_two_spellings_of_one_label_are_one_label(path: Path, spellings: list, name: str) -> None:
    write(path, [{"text": "a", "label": spelling} for spelling in spellings])
    assert {record.labels for record in read(path)} == {(name,)}
    assert {record.labels for record in read(path, type="multi_label")} == {(name,)}
    assert TaskConfig(labels=(str(spellings[-1]).strip(), "other")).labels == (name, "other")


@pytest.mark.parametrize("label", ["\u200b", "\u00a0", "\ufeff \u2060", "\n"])
def test_invisible_labels_are_missing_labels(path: Path, label: str) -> None:
    with pytest.raises(DataError, match="cannot be learned from") as caught:
        read(write(path, [{"text": "a", "label": label}]))
    assert "no label in 1 of 1 rows" in caught.value.got


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("['joy', 'fear']", ("joy", "fear")),
        ('["joy", "fear"]', ("joy", "fear")),
        ("['joy' 'fear']", ("joy", "fear")),
        ("[joy, fear]", ("joy", "fear")),
        ("('joy',)", ("joy",)),
        ("{'joy'}", ("joy",)),
        ('["it\'s", "a, b"]', ("it's", "a, b")),
        ("[1, 2.0]", ("1", "2")),
        ("[]", ()),
        ("joy|fear", ("joy", "fear")),
        ("(joy)", ("(joy)",)),
    ],
)
def test_lists_written_as_text(path: Path, written: str, labels: tuple[str, ...]) -> None:
    (record,) = read(write(path, [{"text": "a", "label": written}]), type="multi_label")
    assert record.labels == labels


@pytest.mark.parametrize("written", ["['joy']", '["joy", "fear"]', "[]"])
def test_a_list_written_as_text_is_not_a_single_label(path: Path, written: str) -> None:
    with pytest.raises(DataError, match="multi_label meant"):
        read(write(path, [{"text": "a", "label": "x"}, {"text": "a", "label": written}]))


@pytest.mark.parametrize("label", ["[other]", "(none)", "{x}", "[", "[a"])
def test_brackets_in_a_single_label(path: Path, label: str) -> None:
    assert read(write(path, [{"text": "a", "label": label}]))[0].labels == (label,)


def test_rows_without_label_are_counted_and_named(path: Path) -> None:
    write(path, [{"text": "a", "label": None if number % 2 else "x"} for number in range(20)])
    with pytest.raises(DataError) as caught:
        read(path)
    assert "no label in 10 of 20 rows: row 2 (line 2), row 4" in caught.value.got
    assert "and 5 more" in caught.value.got
    # the first rows are good, so nothing is reported about the others
    assert len(list(records(open_table(path), TaskConfig(), limit=1))) == 1


def test_all_kinds_of_mistakes_are_reported_at_once(path: Path) -> None:
    path.write_text('{"text": "a", "label": "x"}\n{"label": "x"}\n{"text": "\\ud800", "label": "x"}\n{"text": "b"}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    for kind in (
        "no column 'text' in 1 of 4 rows",
        "surrogate pair (not Unicode text) in 1 of 4",
        "no label in 1 of 4",
    ):
        assert kind in caught.value.got


def test_rows_without_text_are_not_checked_for_labels(path: Path) -> None:
    path.write_text('{"text": "a", "label": "x"}\n{"label": "x"}\n')
    with pytest.raises(DataError, match="no column 'text' in 1 of 2 rows") as caught:
        read(path)
    assert "in column 'text'" in caught.value.expected
    assert "task.text" in caught.value.fix


def test_bytes_are_text_in_the_columns_of_the_task(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"text": [b"\xc3\xa9", b"\xff"], "label": [b"x", b"x"], "picture": [b"\xff", b"\xfe"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(DataError, match="bytes in 'text' that are not UTF-8 in 1 of 2 rows: row 2") as caught:
        read(path)
    assert caught.value.expected == "Unicode text, in UTF-8, in column 'text' of every row"
    pyarrow.parquet.write_table(pyarrow.table(columns).slice(0, 1), path)
    assert [(record.text, record.labels, record.others) for record in read(path)] == [
        ("é", ("x",), {"picture": "\\xff"})
    ]


def test_a_list_as_single_label(path: Path) -> None:
    with pytest.raises(DataError, match="multi_label meant"):
        read(write(path, [{"text": "a", "label": ["x"]}]))
