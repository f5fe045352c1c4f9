"""JSON Lines: errors name the cause as a person would, and unused keys are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.data.formats.readers import open_table
from components.data.rows import records
from models.config import TaskConfig
from models.errors import DataError

GOOD = '{"text": "a", "label": "x"}\n'


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> list[tuple[str, str]]:
    return [(record.text, *record.labels) for _, record in records(open_table(path), TaskConfig())]


@pytest.mark.parametrize(
    ("content", "what", "cause"),
    [
        ('{\n "text": "a"\n}\n', "row 1 (line 1): a JSON document of several lines", "jq -c"),
        ("{'text': 'a'}\n", "row 1 (line 1): not JSON", "single quotes are Python, not JSON"),
        (GOOD + '{"text": "b", "label": "x"},\n', "row 2 (line 2): not JSON", "delete the comma"),
        (GOOD + GOOD.strip() + GOOD, "row 2 (line 2): not JSON", "start a new line"),
        ("text,label\na,b\n", "row 1 (line 1): not JSON", ".csv"),
        (GOOD * 5000 + "oops\n", "row 5,001 (line 5,001): not JSON", "byte"),
        (GOOD + '{"text": "b", "lab', "row 2 (line 2): not JSON", "ends in the middle of a row"),
        (GOOD + "// a note\n", "row 2 (line 2): a comment", "delete the line"),
        ("<html>", "not a text file", "a web page"),
    ],
)
def test_the_cause_is_named_with_the_line(tmp_path: Path, content: str, what: str, cause: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, content))
    assert what in caught.value.what
    assert cause in caught.value.got + caught.value.fix


@pytest.mark.parametrize(
    "value",
    [
        b"1" * 5000,
        b'"\\ud800"',
        b'["\\ud800"]',
        b'"K\xf6ln"',
        b'"K\xf6ln \\ud800"',
        b'{"in": ["K\xf6ln"]}',
        b"NaN",
        b'{"a": 1, "a": 2}',
        b'1, "odd": 2',
        b'1, "\\ud800": 2',
    ],
)
def test_unused_keys_are_ignored(tmp_path: Path, value: bytes) -> None:
    line = b'{"text": "a", "label": "x", "odd": ' + value + b', "": 1}\n'
    path = write(tmp_path, line * 2)
    assert read(path) == [("a", "x")] * 2
    for _, record in records(open_table(path), TaskConfig()):
        assert "" not in record.others
        for name, other in record.others.items():
            name.encode()
            other.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b'["so", "good"]', "not text: a list in column 'text' in 1 of 2 rows: row 2 (line 2)"),
        (b'{"en": "good"}', "not text: an object in column 'text'"),
        (b"1" * 5000, "not text: a number in column 'text'"),
        (b"7", "not text: a number in column 'text'"),
        (b"true", "not text: true or false in column 'text'"),
        (b'"a", "text": "b"', "not text: two values in column 'text'"),
    ],
)
def test_a_cell_that_is_not_text_is_never_trained_on(tmp_path: Path, value: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, GOOD.encode() + b'{"label": "x", "text": ' + value + b"}\n"))
    assert message in caught.value.got
    assert "the model will receive later" in caught.value.fix


@pytest.mark.parametrize("label", ['{"joy": 1}', '[["a"]]', '[{"name": "a"}]'])
def test_labels_that_are_objects_or_lists_of_lists_are_refused(tmp_path: Path, label: str) -> None:
    table = open_table(write(tmp_path, '{"text": "a", "label": ' + label + "}\n"))
    with pytest.raises(DataError, match=r"for a label in 1 of 1 rows: row 1 \(line 1\)"):
        list(records(table, TaskConfig(type="multi_label")))


def test_a_key_that_only_later_rows_have_is_a_column(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, '{"text": "a"}\n' * 200 + GOOD))
    table.require(["text", "label"])
    assert table.columns == ("text", "label")
    with pytest.raises(DataError, match="there is no column 'labels'"):
        table.require(["labels"])


def test_carriage_returns_may_end_the_lines(tmp_path: Path) -> None:
    assert read(write(tmp_path, GOOD.replace("\n", "\r") * 3)) == [("a", "x")] * 3
