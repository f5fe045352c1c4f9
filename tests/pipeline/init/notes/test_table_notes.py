"""The notes about a table that `transom init` writes into the project file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inferred_tables import LINES, config_of, sentence, write_csv

from components.data.formats.readers import open_table
from components.data.rows import records
from pipeline.init.new_project import infer


def test_columns_that_could_be_the_label_as_well_are_named(tmp_path: Path) -> None:
    rows = [[sentence(n), n % 2, int(n % 3 == 0)] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["comment", "toxic", "insult"], rows))
    assert "only 2 different values in 300 rows; so has 'toxic': which is meant?" in text


@pytest.mark.parametrize("spellings", [[1, 1.0], ["1", "1.0"], [True, "True"]])
def test_two_spellings_of_a_label_are_one(tmp_path: Path, spellings: list) -> None:
    rows = [{"text": sentence(n), "label": spellings[n % 2] if n % 3 else "other"} for n in range(60)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "2 labels, with their rows" in infer(tmp_path / "t.jsonl")


def test_labels_that_differ_in_spelling_alone_are_noted(tmp_path: Path) -> None:
    rows = [[sentence(n), ["spam", "Spam", "n/a"][n % 3]] for n in range(60)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert "labels that differ only in spelling are different labels: 'spam', 'Spam'" in text
    assert "'n/a' is read as a label" in text


def test_notes(tmp_path: Path) -> None:
    rows = [["word " * 400, "rare" if n == 0 else "often" if n < 90 else ""] for n in range(100)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], [[f"{n} {a}", b] for n, (a, b) in enumerate(rows)]))
    assert "10 of 100 rows have no label" in text
    assert "89 times the rows of the smallest" in text
    assert "tokenizer.max_length: 512" in text
    assert max(map(len, text.splitlines())) < 400


@pytest.mark.parametrize(("rows", "beside", "said"), [(48, False, True), (200, False, False), (48, True, False)])
def test_a_table_too_small_to_give_test_rows_is_noted(tmp_path: Path, rows: int, beside: bool, said: bool) -> None:
    path = write_csv(tmp_path / "train.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(rows)])
    if beside:
        write_csv(tmp_path / "test.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(900, 960)])
    assert ("only about 5 of the 48 rows will be test rows" in infer(path)) == said


def test_hostile_names_and_labels_stay_in_their_comments(tmp_path: Path) -> None:
    header = ["text", "label", "x\nname: evil"]
    rows = [[sentence(n), ["a\nname: evil", "b" * 150][n % 2], "1"] for n in range(40)]
    text = infer(write_csv(tmp_path / "t.csv", header, rows))
    assert config_of(text).name == "t"
    assert "\nname: evil" not in text


def test_a_line_end_in_the_name_of_a_pairs_column(tmp_path: Path) -> None:
    rows = [[sentence(n), sentence(-n), "ab"[n % 2]] for n in range(60)]
    config = config_of(infer(write_csv(tmp_path / "t.csv", ["the\nfirst", "the\nsecond", "label"], rows)))
    assert (config.task.text, config.task.text_pair) == ("the\nfirst", "the\nsecond")


@pytest.mark.parametrize(
    ("content", "task", "note"),
    [
        (
            "sep=;\ntext;label\n" + LINES.replace(",", ";"),
            ("text", "label"),
            "skipped line 1 (the separator for Excel)",
        ),
        ("Reviews,\n\ntext,label\n" + LINES, ("text", "label"), "skipped lines 1 and 2 (a title)"),
        ("Words (short, long);Label\n" + LINES.replace(",", ";"), ("Words (short, long)", "Label"), ""),
        ("text;label\na fine, good film;pos\na bad film;neg\nok, then;pos\n", ("text", "label"), ""),
        ("text;label\na fine film;pos\na bad film;neg\n", ("text", "label"), ""),
        ("text,label,x,x\n" + LINES.replace("\n", ",1,2\n"), ("text", "label"), "column 'x' appears 2 times"),
        (
            'text,label\n"[""so"", ""good""]",pos\n"[""bad""]",neg\n',
            ("text", "label"),
            "the source of lists or objects",
        ),
    ],
)
def test_files_as_people_have_them(tmp_path: Path, content: str, task: tuple[str, str], note: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    text = infer(path)
    config = config_of(text)
    assert (config.task.text, config.task.label) == task
    assert note in text
    assert list(records(open_table(path), config.task))  # a run accepts the inferred task


@pytest.mark.parametrize("splits", [["train", "dev", "test"], ["Training", "validation"], ["TEST", "train", "Train"]])
def test_a_column_that_assigns_rows_to_splits_is_not_ignored_in_silence(tmp_path: Path, splits: list[str]) -> None:
    rows = [[splits[n % len(splits)], sentence(n), "ab"[n // 3 % 2]] for n in range(120)]
    text = infer(write_csv(tmp_path / "t.csv", ["usage", "text", "label"], rows))
    assert "column 'usage' assigns the rows to splits, but a run splits one table by itself" in text
    assert config_of(text).task.label == "label"
    rows = [[["train", "bus"][n % 2], sentence(n), "ab"[n // 3 % 2]] for n in range(120)]
    assert "assigns the rows" not in infer(write_csv(tmp_path / "u.csv", ["vehicle", "text", "label"], rows))
