"""Tables that `transom init` refuses, and what its error names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inferred_tables import LINES, config_of, sentence, write_csv

from models.errors import DataError
from pipeline.cli import main
from pipeline.init.new_project import infer


def test_a_row_far_below_that_the_run_would_refuse(tmp_path: Path) -> None:
    rows: list[list[object]] = [[sentence(n), n / 8] for n in range(4000)]
    rows[2999][1] = "n/a"
    warned: list[str] = []
    text = infer(write_csv(tmp_path / "t.csv", ["text", "score"], rows), warn=warned.append)
    assert config_of(text).task.type == "regression"
    assert "`transom run` will refuse these data until they are corrected" in text
    assert "row 3,000 (line 3,001): 'n/a'" in warned[0]


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ({"data": [{"text": "a b c", "label": "x"}] * 3}, "jq -c '.[\"data\"][]'"),
        ({"text": {"0": "a b c", "1": "d e f"}, "label": {"0": "x", "1": "y"}}, "orient='records', lines=True"),
        ({"columns": ["text"], "index": [0], "data": [["a b c"]]}, "orient='records', lines=True"),
    ],
)
def test_a_whole_table_in_one_object(tmp_path: Path, row: dict, fix: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(row))
    with pytest.raises(DataError, match="the whole table in one JSON object") as caught:
        infer(tmp_path / "t.json")
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("name", "values", "fix"),
    [
        ("label", ["x" * 500, "y" * 500], "its values have over 200 characters"),
        ("price", [f"{n}_000 or so" for n in range(300)], "if column 'price' is the label, write plain numbers in it"),
        ("price", ["<5"] * 9 + [f"{n / 7:.3f}" for n in range(291)], "not '<5' and the like (9 of 300 rows)"),
    ],
)
def test_the_cause_is_named_where_no_column_is_a_label(tmp_path: Path, name: str, values: list[str], fix: str) -> None:
    rows = [[sentence(n), values[n % len(values)]] for n in range(300)]
    with pytest.raises(DataError, match="no column looks like a label") as caught:
        infer(write_csv(tmp_path / "t.csv", ["text", name], rows))
    assert fix in caught.value.fix


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": "\\ud800", "label": "y"}\n')
    with pytest.raises(DataError, match=r"row 2 \(line 2\): column 'text' cannot be read"):
        infer(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("text,label\n", "has no rows"),
        ("a,b\n1,2\n3,4\n", "no column looks like text"),
        (f"text,label\n{sentence(1)[:4]},x\n", "no column looks like a label"),
    ],
)
def test_tables_that_say_nothing(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=what):
        infer(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", LINES, "line 1 looks like a row, not like a header"),
        ("t.csv", "text::label\n" + LINES.replace(",", "::"), "no separator gives all rows the width"),
        ("t.csv", '"text,label"\n' + "".join(f'"{line}"\n' for line in LINES.splitlines()), "quotes around each line"),
        ("t.csv", "text,label,text\n" + LINES.replace("\n", ",x\n"), "column 'text' appears 2 times"),
        ("t.csv", "text,label\n" + LINES * 125 + "a,b,c\n", "row 5,001 (line 5,002): more fields"),
        ("t.csv", "text,label\n" + LINES * 125 + '"a,b\n', "row 5,001 (line 5,002)"),
        ("t.csv", "text,label\n" + "".join(f"some words {n},l{n}\n" for n in range(99)), "look at column 'label'"),
        ("t.jsonl", '{"text": ["so", "good"], "label": "x"}\n' * 9, "row 1 (line 1): column 'text' is not text"),
        ("t.jsonl", '{"text": "ok", "label": "x"}\n{"text": {"a": "b"}, "label": "y"}\n' * 9, "row 2 (line 2)"),
        ("t.jsonl", '{"text": "ok", "label": {"a": 1}}\n' * 9, "no column looks like a label"),
    ],
)
def test_what_a_run_would_refuse_init_refuses(tmp_path: Path, name: str, content: str, expected: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        infer(path)
    assert expected in caught.value.render()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "text,label\n" + LINES * 9 + "a,b,c\n", "row 361 (line 362): more fields"),
        ("t.csv", "text,label\n" + LINES * 9 + "\udcff,b\n", "row 361 (line 362): not UTF-8, in column 'text'"),
        (
            "t.jsonl",
            "".join(f'{{"text": "film {n}", "label": {n % 2}}}\n' for n in range(200)) + '{"text": [], "label": 1}\n',
            "row 201 (line 201): column 'text' is not text",
        ),
    ],
)
def test_rows_below_those_looked_at_are_read_too(
    tmp_path: Path, name: str, content: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.init.task_inference._ROWS", 100)
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError) as caught:
        infer(path)
    assert expected in caught.value.render()


def test_columns_that_are_not_used_may_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    row = '{"text": "some words %d", "label": "%s", "odd": "\\ud800", "tokens": ["a"], "more": {"x": 1}}\n'
    path.write_text("".join(row % (n, "ab"[n % 2]) for n in range(20)))
    assert config_of(infer(path)).task.label == "label"


def test_a_folder_in_place_of_a_table_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == DataError.exit_code
    assert "no file in it" in capsys.readouterr().err
    (tmp_path / "notes.txt").touch()
    (tmp_path / "train.csv").touch()
    (tmp_path / "transom.yaml").touch()
    assert main(["init", str(tmp_path)]) == DataError.exit_code
    output = capsys.readouterr().err
    assert "is a folder" in output
    assert f"did you mean {tmp_path / 'train.csv'}?" in output


def test_a_missing_table_is_said_to_be_missing_whatever_lies_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "transom.yaml").touch()
    assert main(["init", str(tmp_path / "none.csv")]) == DataError.exit_code
    assert "none.csv does not exist" in capsys.readouterr().err


def test_columns_without_names_are_named_as_the_cause(tmp_path: Path) -> None:
    rows = [[sentence(n), sentence(n + 1), "ab"[n % 2]] for n in range(60)]
    with pytest.raises(DataError, match="columns without a name") as caught:
        infer(write_csv(tmp_path / "t.csv", ["", "", "label"], rows))
    assert "'label'" in caught.value.got


def test_a_column_with_one_text_gets_advice_that_helps(tmp_path: Path) -> None:
    warned: list[str] = []
    infer(
        write_csv(tmp_path / "t.csv", ["text", "label"], [["good", "ab"[n % 2]] for n in range(400)]),
        warn=warned.append,
    )
    assert "the 400 rows have the same text, and equal texts stay in one split" in warned[0]
    assert "to fix: correct task.text if another column holds the texts, or give rows with other texts" in warned[0]
    assert "let it pass" not in warned[0], "the step that needs the rows would stop all the same"


@pytest.mark.parametrize("header", ["x,x,gold", "x,y,y", "x,x,x", "x,x,gold,gold"])
def test_columns_of_the_same_name_are_named_where_text_or_label_is_missing(tmp_path: Path, header: str) -> None:
    names = header.split(",")
    rows = [[sentence(n), sentence(-n), "ab"[n % 2], "cd"[n % 2]][: len(names)] for n in range(60)]
    with pytest.raises(DataError, match=r"column '[xy]' appears [23] times in the header") as caught:
        infer(write_csv(tmp_path / "t.csv", names, rows))
    assert "rename" in caught.value.fix
