"""CSV and TSV as programs write them: read as intended, or refused with the cause a person would name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.data.formats.readers import open_table
from models.errors import DataError

ROWS = [("good film, really", "pos"), ("bad; very bad", "neg")] * 20
PLAIN = [("good film", "pos"), ("bad", "neg")] * 20


def as_csv(
    rows: Sequence[Sequence[str]] = ROWS,
    delimiter: str = ",",
    header: Sequence[str] = ("text", "label"),
    end: str = "\n",
) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    return stream.getvalue()


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> list[tuple[str, ...]]:
    return [tuple(row.values.values()) for row in open_table(path).rows()]


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path)
    return caught.value


BODY = as_csv()[len("text,label\n") :]


@pytest.mark.parametrize(
    "content",
    [
        "sep=,\r\n" + as_csv(),
        '"sep=,"\n' + as_csv(),
        "sep=;\n" + as_csv(delimiter=";"),
        "SEP=\\t\n" + as_csv(delimiter="\t"),
        "Customer reviews\n\n" + as_csv(),
        "Customer reviews,\n,\n" + as_csv(),
        "Reviews, 2024\n" + as_csv(),
        "Report, made by X, for Y\n" + as_csv(),
        "# exported 2026-01-05\n# by X, for Y\n" + as_csv(),
        "\n\n,,\n" + as_csv() + "\n,\n  \n",
        as_csv([(*row, "") for row in ROWS], header=("text", "label", "")),
        as_csv([(*row, "", "") for row in ROWS]),
        as_csv([(str(number), *row) for number, row in enumerate(ROWS)], header=("", "text", "label")),
        as_csv().replace("\n", "\r"),
        as_csv().replace("\n", "\r\n"),
        as_csv().replace("\n", "\r\r\n"),
        as_csv() + as_csv(),
        "\ufeff" + as_csv() + "\ufeff" + as_csv(),
        "\ufefftext\u200b,label\n" + BODY,
        "# text,label\n" + BODY,
        "#text,label\n" + BODY,
        "text,label\n---,:--:\n" + BODY,
    ],
)
def test_lines_and_fields_around_the_table_are_read_as_meant(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    assert open_table(path).columns == ("text", "label")
    assert read(path) in (ROWS, ROWS * 2)


@pytest.mark.parametrize(
    "content", ['text\n""\nfine\n', "text\n-\nfine\n", "text\n---\nfine\n", "text,label\n-,-\nfine,a\n"]
)
def test_a_first_row_without_a_word_is_a_row(tmp_path: Path, content: str) -> None:
    assert len(read(write(tmp_path, content))) == 2


def test_lines_above_the_header_are_reported(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "A title\n\n" + as_csv()))
    assert table.above == "skipped lines 1 and 2 (a title); the header is line 3"
    with pytest.raises(DataError, match="line 3"):
        table.require(["words"])
    assert [(row.number, row.line) for row in table.rows()][:2] == [(1, 4), (2, 5)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_the_separator_makes_all_rows_as_wide_as_the_header(tmp_path: Path, name: str, delimiter: str) -> None:
    for header in (("text", "label"), ("Review (short, long)", "Label"), ("text", "label, final")):
        rows = [(f"{a} {delimiter} {a}", "3,5") for a, _ in ROWS]
        path = write(tmp_path, as_csv(rows, delimiter, header), name)
        assert open_table(path).columns == header
        assert read(path) == rows
    few = write(tmp_path, as_csv(ROWS[:3], delimiter), name)
    assert read(few) == ROWS[:3]


def test_a_late_strange_row_does_not_change_the_separator(tmp_path: Path) -> None:
    path = write(tmp_path, as_csv(PLAIN * 125, ";", ("text, all", "label")) + "a;b;c\n")
    error = refused(path)
    assert "row 5,001 (line 5,002): more fields" in error.what
    assert "3 fields: 'a', 'b', 'c'" in error.got


@pytest.mark.parametrize("late", [False, True])
def test_spaces_before_quotes(tmp_path: Path, late: bool) -> None:
    before = as_csv(PLAIN * 100) if late else "text, label\n"
    content = before + '"a, b", "neg"\n' + 'plain, "x, y"\n'
    assert read(write(tmp_path, content))[-2:] == [("a, b", "neg"), ("plain", "x, y")]
    quoted = [
        (' "so" he said', "pos"),
        ("two\nlines", " x"),
    ]  # as a CSV library writes it: the space belongs to the text
    assert read(write(tmp_path, as_csv([*PLAIN, *quoted])))[-2:] == quoted


def test_a_line_end_in_quotes_behind_a_space(tmp_path: Path) -> None:
    assert read(write(tmp_path, 'label, text\nneg, "a\nb"\npos, "c, d"\n')) == [("neg", "a\nb"), ("pos", "c, d")]


def test_single_quotes_around_every_value_are_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, "'text','label'\n'good, really','pos'\n'it''s bad','neg'\n")
    assert read(path) == [("good, really", "pos"), ("it's bad", "neg")]
    path = write(tmp_path, "text,label\n'tis a film,pos\n'twas 'bad',neg\n['a'],pos\n")
    assert read(path) == [("'tis a film", "pos"), ("'twas 'bad'", "neg"), ("['a']", "pos")]


@pytest.mark.parametrize(
    ("content", "what", "cause"),
    [
        (as_csv() + '"he said \\"hi\\"",pos\n', "row 41 (line 42)", 'written \\" (line 42)'),
        ('text,label\n"good" ,pos\n', "row 1 (line 2)", "a space between the closing quote and the separator"),
        (as_csv(PLAIN * 125) + '"good film,pos\n' + as_csv(PLAIN), "row 5,001 (line 5,002)", "never closed"),
        (as_csv(PLAIN * 125) + '"good film,pos\n"bad",neg\n', "row 5,001 (line 5,002)", "never closed"),
        (as_csv() + "“so, so”,pos\n", "row 41 (line 42)", "straight double quotes"),
        ("All reviews, sorted, filtered\nwords,kind\n" + BODY, "row 1 (line 2)", "delete it if it is a title"),
        (as_csv() + "# a note\n", "row 41 (line 42)", "a comment"),
        (as_csv() + "\0" * 9 + "\n", "row 41 (line 42)", "NUL bytes"),
        ("text,label\n" + "".join(f"{n},a,x\n" for n in range(9)), "row 1 (line 2)", "row.names"),
        ("text,label,\n" + "so so,pos,why\n" * 9, "row 1 (line 2)", "name column 3 in the header"),
        ("text,label\n" + "well, so so,pos\n" * 9, "row 1 (line 2)", "nearly every row has 3 fields"),
        ("text,label,language\n" + "so so,pos\n" * 9, "row 1 (line 2)", "nearly every row has 2 fields"),
        ('{"text": "a", "label": "b"}\n' * 3, "not CSV", ".jsonl"),
        ('[{"text": "a", "label": "b"},\n' * 3, "not CSV", ".jsonl"),
        ("<!DOCTYPE html>\n<html>", "not a text file", "a web page"),
        ("\n<html>\n", "not a text file", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\n", "not a text file", "git lfs pull"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "not a text file", "Excel"),
        (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml", "not a text file", ".xlsx"),
        ("  \n\n", "the header is empty", "blank lines"),
        ('"text" "label"\n"1" "so so" "pos"\n', "the header (line 1)", "fields with spaces between them (line 1)"),
        ("text;label,,\n" + "so so;pos,,\n" * 9, "commas at the ends of the lines", "separates by commas"),
        ("text,label\n" + "well\\, so so,pos\n" * 9, "row 1 (line 2)", "a backslash before the separator"),
        ("text,label\na\rb,c\n", "row 1 (line 2)", "a carriage return outside quotes"),
    ],
)
def test_the_cause_is_named_with_the_line(tmp_path: Path, content: str | bytes, what: str, cause: str) -> None:
    error = refused(write(tmp_path, content))
    assert what in error.what
    assert cause in error.got + error.fix


@pytest.mark.parametrize(
    "lines",
    [
        ["good film here,pos", "bad film there,neg"],
        ["1,good film here", "0,bad film there"],
        ["a b c,3.5"] * 2,
        ["这个酒店很好,正面", "房间不太干净,负面", "服务态度差劲,负面"],
        ["good film,pos", "bad movie,neg", "fine book,pos", "dull song,neg"],
    ],
)
def test_a_missing_header_is_reported(tmp_path: Path, lines: list[str]) -> None:
    rows = [line if "film" in line or "a b" in line else line.replace(",", f"{n},") for n, line in enumerate(lines * 9)]
    table = open_table(write(tmp_path, "\n".join(rows)))
    with pytest.raises(DataError, match="looks like a row, not like a header"):
        table.require(["text"])
    # names that look like values are still names
    for header in ("message,spam", "0,1", "sms body,ham"):
        table = open_table(write(tmp_path, header + "\n" + "some words here,spam\nother words,ham\n" * 9))
        assert not table.headerless


def test_indistinguishable_columns_are_refused_only_if_used(tmp_path: Path) -> None:
    table = open_table(
        write(tmp_path, as_csv([(*row, "1", "2", "3") for row in ROWS], header=("text", "label", "x", "", "x")))
    )
    assert table.columns == ("text", "label")
    assert next(iter(table.rows())).values == {"text": ROWS[0][0], "label": "pos"}
    table.require(["text", "label"])
    with pytest.raises(DataError, match="column 'x' appears 2 times in the header"):
        table.require(["x"])


def test_bytes_that_are_not_utf8_are_refused_only_if_used(tmp_path: Path) -> None:
    content = as_csv([(*row, "Köln") for row in ROWS], header=("text", "label", "city")).encode("cp1252")
    table = open_table(write(tmp_path, content))
    assert {row.values["city"] for row in table.rows(["text", "label"])} == {"K\\xf6ln"}
    assert table.unreadable == {"city"}
    with pytest.raises(DataError, match=r"row 1 \(line 2\): not UTF-8, in column 'city'") as caught:
        next(iter(table.rows(["city"])))
    assert "byte 0xf6 at byte" in caught.value.got
    assert "iconv -f WINDOWS-1252" in caught.value.fix
    assert "line 1: not UTF-8" in refused(write(tmp_path, "Größe,label\n1,a\n".encode("cp1252"))).what


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)] * 2), max_size=6
    ),
    delimiter=st.sampled_from(",;\t|"),
)
def test_reading_inverts_what_a_csv_library_wrote(tmp_path: Path, rows: list[tuple[str, str]], delimiter: str) -> None:
    filled = [row for row in rows if any(map(str.strip, row)) and row != ("text", "label")]
    assert read(write(tmp_path, as_csv(filled, delimiter, end="\r\n"))) == filled
