"""The inputs of `predict --file`: a table's columns, other files' lines; empty texts are never sent to the model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from fake_serving import FakeServing

from models.errors import ConfigError, DataError
from pipeline.cli import main
from pipeline.predict.input_texts import InputText, from_file
from pipeline.predict.text_predictions import _print_all, _Progress
from serving.client import Prediction

ROWS = [("a fine film", "pos"), ("two\nlines", "neg"), ("", "neg")]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The parts of a pushed model that store its columns."""
    extra = tmp_path / "out" / "serving" / "m" / "1" / "assets.extra"
    extra.mkdir(parents=True)
    (extra.parent / "saved_model.pb").touch()
    (extra / "transom.json").write_text(json.dumps({"task": {"text": "review", "text_pair": None}}))
    return tmp_path / "out"


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    with FakeServing() as server:
        yield server


def write(folder: Path, name: str, header: tuple[str, str] = ("review", "label")) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        columns = {name: [row[index] for row in ROWS] for index, name in enumerate(header)}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return path
    separator = "\t" if ".tsv" in name else ","
    if ".jsonl" in name:
        text = "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in ROWS)
    else:
        text = "\n".join(separator.join(f'"{value}"' for value in row) for row in (header, *ROWS)) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_a_table_is_read_as_a_table_with_the_models_own_column(tmp_path: Path, model: Path, name: str) -> None:
    path = write(tmp_path, name)
    for place in (model, model / "serving" / "m", model / "serving" / "m" / "1"):
        inputs = from_file(path, place)
        assert [one.text for one in inputs] == [text for text, _ in ROWS]
        assert [one.location["row"] for one in inputs] == [1, 2, 3]
        assert [one.empty for one in inputs] == [False, False, True]
    assert [one.text for one in from_file(path, model, ["label"])] == ["pos", "neg", "neg"]
    assert from_file(path, model, ["review", "label"])[0].pair == "pos"


def test_a_bundle_knows_its_columns_too(tmp_path: Path) -> None:
    (tmp_path / "edge.json").write_text(json.dumps({"report": {"config": {"task": {"text": "a", "text_pair": "b"}}}}))
    path = write(tmp_path, "t.csv", ("b", "a"))
    assert from_file(path, tmp_path)[0] == InputText("pos", "a fine film", {"row": 1, "line": 2})


def test_a_table_without_the_column_says_which_there_are(tmp_path: Path, model: Path) -> None:
    with pytest.raises(DataError, match="no column 'review', which the model was trained on") as caught:
        from_file(write(tmp_path, "t.csv", ("words", "label")), model)
    assert "'words', 'label'" in caught.value.got
    assert "--column" in caught.value.fix
    path = tmp_path / "lines.tsv"
    path.write_text("some words here\tx\n" * 9)
    with pytest.raises(DataError, match=r"looks like a row.*\n.*\.txt"):
        from_file(path, model)
    path = tmp_path / "t.jsonl"
    path.write_text('{"review": "ok"}\n{"review": ["so", "good"]}\n')
    with pytest.raises(DataError, match=r"row 2 \(line 2\): column 'review' is not text"):
        from_file(path, model)


def test_a_server_does_not_tell_its_columns(tmp_path: Path) -> None:
    assert from_file(write(tmp_path, "t.csv", ("text", "label")), None)[0].pair is None
    assert from_file(write(tmp_path, "t.csv", ("text_pair", "text")), None)[0].pair == "a fine film"
    (tmp_path / "one.csv").write_text("words\nso good\n")
    assert [one.text for one in from_file(tmp_path / "one.csv", None)] == ["so good"]
    with pytest.raises(DataError, match="which column holds the texts"):
        from_file(write(tmp_path, "t.csv"), None)


@pytest.mark.parametrize("packed", [False, True])
def test_other_files_are_a_text_a_line(tmp_path: Path, packed: bool) -> None:
    content = b"text,label\n\na\tb\r\n"
    path = tmp_path / ("t.txt.gz" if packed else "t.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    inputs = from_file(path, None)
    assert [(one.text, one.pair, one.location["line"]) for one in inputs] == [
        ("text,label", None, 1),
        ("", None, 2),
        ("a\tb", None, 3),
    ]
    path = tmp_path / "mac.txt"
    path.write_bytes(b"one\rtwo\r")
    assert [one.text for one in from_file(path, None)] == ["one", "two"]
    with pytest.raises(ConfigError, match="whose name is not that of a table"):
        from_file(path, None, ["text"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"PK\x03\x04", "ZIP"), ("a\n".encode("utf-16"), "UTF-16"), (b"<html>", "a web page"), (b"", "empty")],
)
def test_files_that_are_not_text_are_recognized(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected):
        from_file(path, None)


def test_answers_stay_beside_what_was_asked(
    tmp_path: Path, fake: FakeServing, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(write(tmp_path, "t.csv", ("text", "label")))
    url = f"{fake.url('grpc')}/reviews"
    assert main(["predict", url, "--file", table]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[2:] for line in out.split("\n")] == [["a fine film"], ["two lines"], [], []]
    assert err == "transom: 1 of 3 texts was empty and skipped (line 5)\n"
    assert main(["predict", url, "--file", table, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["row"], row["line"], row["text"]) for row in answers] == [
        (1, 2, "a fine film"),
        (2, 3, "two\nlines"),
        (3, 5, ""),
    ]
    assert [row["score"] is None for row in answers] == [False, False, True]
    lines = tmp_path / "t.txt"
    lines.write_text("\n \n")
    assert main(["predict", url, "--file", str(lines)]) == 0
    assert capsys.readouterr().out == "\n\n"


def test_an_empty_text_of_a_regression_has_no_label_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with _Progress(3) as progress:
        _print_all(
            [InputText(""), InputText("fine"), InputText(" ")], lambda *_: [Prediction(4.5)], progress, as_json=True
        )
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers == [{"text": "", "score": None}, {"text": "fine", "score": 4.5}, {"text": " ", "score": None}]


def test_many_texts_are_answered_in_their_order(
    tmp_path: Path, fake: FakeServing, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"{'good ' * (n % 7)}{n}" for n in range(1200)]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    assert main(["predict", f"{fake.url('rest')}/reviews", "--file", str(tmp_path / "t.txt")]) == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == texts
