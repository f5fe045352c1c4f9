"""Headers that may be rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from inferred_tables import config_of, sentence, write_csv

from pipeline.init.new_project import infer

ENDINGS = ("that holds", "in the dark", "that nobody liked", "without an end")
DOUBT = "if the first line of the file is a row"


def test_a_header_that_may_be_a_row_is_mentioned(tmp_path: Path) -> None:
    rows = [[sentence(n), "spam" if n % 2 else "ham"] for n in range(60)]
    text = infer(write_csv(tmp_path / "t.csv", ["sms", "spam"], rows))
    assert config_of(text).task.label == "spam"
    assert "the name of column 'spam' is also the value of 30 rows in its column: if the first line of the file" in text
    text = infer(write_csv(tmp_path / "u.csv", ["what a lovely film this was, with so many ideas", "rare"], rows))
    assert "reads like a sentence: if the first line of the file is a row" in text


@pytest.mark.parametrize(
    "name",
    [
        "an okay film with a plot",
        "a dull film",
        "one film with no plot at all",
        "great acting, but a dull plot",
        "film plot dull",
    ],
)
@pytest.mark.parametrize("label", ["x99", "never seen below", "other"])
def test_a_sentence_like_those_below_is_doubted_even_if_its_label_is_rare(
    tmp_path: Path, name: str, label: str
) -> None:
    rows = [
        [f"a {'fine' if n % 2 else 'dull'} film with a plot {ENDINGS[n % 4]} {n}", f"x{n % 40}"] for n in range(400)
    ]
    text = infer(write_csv(tmp_path / "t.csv", [name, label], rows))
    assert f"the name of column {name!r} reads like a sentence: {DOUBT}" in text
    assert ("the name of column 'x99' looks like its values" in text) == (label == "x99")


def test_a_sentence_without_spaces_is_doubted(tmp_path: Path) -> None:
    rows = [[f"这部电影的情节很好看但是太长了{n}", f"x{n % 20}"] for n in range(200)]
    assert DOUBT in infer(write_csv(tmp_path / "t.csv", ["这部电影的情节太长了", "x99"], rows))
    assert DOUBT not in infer(write_csv(tmp_path / "u.csv", ["电影评论", "x"], rows))


@pytest.mark.parametrize(
    "names",
    [
        ["Review Text", "class_1"],
        ["Review of the film", "label"],
        ["a film with a plot", "label"],  # a name of a label is no value
        ["film_plot", "x"],
        ["Film Plot", "verdict"],
        ["0", "1"],
        ["v1", "v2"],
        ["Please describe the problem", "kind"],
    ],
)
def test_ordinary_names_are_not_doubted(tmp_path: Path, names: list[str]) -> None:
    rows = [
        [f"a {'fine' if n % 2 else 'dull'} film with a plot {ENDINGS[n % 4]} {n}", f"x{n % 40}"] for n in range(400)
    ]
    assert DOUBT not in infer(write_csv(tmp_path / "t.csv", names, rows))
