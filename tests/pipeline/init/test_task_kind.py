"""The kind of task that `transom init` infers from the values of a label column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inferred_tables import config_of, sentence, write_csv

from pipeline.init.new_project import infer


def test_lists_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"text": sentence(n), "label": [["a"], ["b", "a"], []][n % 3]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = infer(path)
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: a 20, b 10" in text


@pytest.mark.parametrize(
    "written",
    [
        ["['joy']", "['joy', 'fear']", "[]"],
        ['["joy"]', '["joy","fear"]', "[]"],
        ["[joy]", "[joy, fear]", "[]"],
        ["{joy}", "{joy,fear}", "{}"],
        ["frozenset({'joy'})", "frozenset({'fear', 'joy'})", "frozenset()"],
        ["array(['joy'], dtype=object)", "array(['joy', 'fear'], dtype=object)", "array([], dtype=object)"],
        ['c("joy")', 'c("joy", "fear")', "c()"],
        ['{"choices":["joy"]}', '{"choices":["joy","fear"]}', "[]"],
    ],
)
def test_lists_written_as_text_are_many_labels(tmp_path: Path, written: list[str]) -> None:
    path = write_csv(tmp_path / "t.csv", ["text", "label"], [[sentence(n), written[n % 3]] for n in range(300)])
    text = infer(path)
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: joy 200, fear 100" in text
    assert f"lists written as text, such as {written[0]}" in text
    assert "will refuse" not in text


def test_labels_that_become_lists_far_below(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": "ab"[n % 2] if n < 3000 else ["a", "b"]} for n in range(3500)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = infer(tmp_path / "t.jsonl")
    assert config_of(text).task.type == "multi_label"
    assert "will refuse" not in text


def test_labels_that_become_written_lists_far_below(tmp_path: Path) -> None:
    rows = [[sentence(n), "ab"[n % 2] if n < 3000 else "['a', 'b']"] for n in range(3500)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: a 2,000, b 2,000" in text
    assert "will refuse" not in text


@pytest.mark.parametrize(("name", "task"), [("labels", "multi_label"), ("score", "regression")])
def test_a_comma_between_two_numbers(tmp_path: Path, name: str, task: str) -> None:
    """Two labels or decimals: the column's name decides, and the file says how it was read."""
    rows = [[sentence(n), ["1,2", "2,3", "1,3", "2", "3"][n % 5]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", name], rows))
    assert config_of(text).task.type == task
    assert ("numbers with a decimal comma, such as 2,3" in text) == (task == "regression")
    assert ("1 120, 2 180, 3 180" in text or "2 180, 3 180, 1 120" in text) == (task == "multi_label")


def test_fractions_are_classes_and_that_is_said(tmp_path: Path) -> None:
    rows = [[sentence(n), f"{n % 5 + 1}/5"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "labels such as '1/5' are read as names of classes" in text


@pytest.mark.parametrize("classes", [100, 101, 450])
def test_as_many_classes_as_init_takes_the_run_takes_too(tmp_path: Path, classes: int) -> None:
    rows = [[sentence(n), f"class {n % classes}"] for n in range(1000)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "does not hold labels" not in text


@pytest.mark.parametrize("values", [["10 min", "30 min", "1 h"], ["3g", "4g", "5g"]])
def test_a_few_numbers_with_units_are_classes(tmp_path: Path, values: list[str]) -> None:
    rows = [[sentence(n), values[n % 3]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "3 different values, read as names of classes" in text
    assert "will refuse" not in text


def test_whole_numbers_are_classes_however_they_are_typed(tmp_path: Path) -> None:
    """pandas writes a column of 0, 1 and missing values as 0.0 and 1.0."""
    rows = [[sentence(n), f"{n % 3}.0"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "3 labels, with their rows: 0 100, 1 100, 2 100" in text


def test_large_whole_numbers_stay_apart(tmp_path: Path) -> None:
    rows = [[sentence(n), 10**30 + n % 2] for n in range(300)]
    assert "2 different whole numbers" in infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))


@pytest.mark.parametrize(
    ("values", "decimal", "expected_text"),
    [
        (["0,5", "3,5", "1.000,25"], ",", "a decimal comma"),
        (["1,000", "2,500.5", "12"], None, "numbers from 12 to 2500.5"),
        (["85%", "7%", "0%"], None, "numbers in %, which is dropped: 85% is 85"),
        (["$3.50", "$1,000.25", "$7"], None, "numbers in $, which is dropped: $1,000.25 is 1000.25"),
        (["1 000,5", "−3", "2"], ",", "numbers from -3 to 1000.5"),
        (["½", "3½", "2"], None, "numbers from 0.5 to 3.5"),
        (["USD 3.50", "USD 1,000.25", "USD 0"], None, "numbers in USD, which is dropped: USD 1,000.25 is 1000.25"),
        (["1.5 kg", "10kg", "0.25 kg"], None, "numbers in kg, which is dropped: 0.25 kg is 0.25"),
        (["٣٫٥", "١٢", "٤"], None, "numbers from 3.5 to 12"),
        (["1.000 EUR", "2.500 EUR"] * 15 + [f"{n}.000 EUR" for n in range(1, 30)], None, "'1.000 EUR' is 1 with"),
        ([f"{n} g" if n % 2 else f"{n} kg" for n in range(1, 40)], None, "numbers of different units"),
        (["1,000", "2,500"], None, "'1,000' is 1000 with a decimal point and 1 with a decimal comma"),
        (["3,5", "1,234.5"], None, "only a decimal comma"),
        (["0.85", "85%"], None, "numbers of different units"),
    ],
)
def test_numbers_as_people_write_them(
    tmp_path: Path, values: list[str], decimal: str | None, expected_text: str
) -> None:
    rows = [[sentence(n), values[n % len(values)]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "score"], rows))
    assert (config_of(text).task.type, config_of(text).task.decimal) == ("regression", decimal)
    assert expected_text in text
