"""Pairs of texts that only their labels show: neither the names of their columns nor common words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from inferred_tables import config_of, write_csv

from models.errors import DataError
from pipeline.init.new_project import infer

# The columns are called by what they mean here; the tests give them other names.
FIRST, SECOND = "what is the capital of country {}", "the river city number {} lies there by water"
LONG_FIRST = "the long report says that in year {} all the ships of the harbour were sold to a company abroad"


def rows_of_pairs(
    first: str = FIRST, second: str = SECOND, firsts: int = 30, seconds: int = 99, rows: int = 150, labels: str = "yn"
) -> list[list[object]]:
    """Pairs that hardly recur, with a label that neither text decides."""
    draw = random.Random(3)
    made: dict[tuple[int, int], list[object]] = {}
    while len(made) < rows:
        key = (draw.randrange(firsts), draw.randrange(seconds))
        made.setdefault(key, [first.format(key[0]), second.format(key[1]), draw.choice(labels)])
    return list(made.values())


def task_of(tmp_path: Path, header: list[str], rows: list[list[object]]) -> tuple[str, str | None, str]:
    task = config_of(infer(write_csv(tmp_path / "t.csv", header, rows))).task
    return task.text, task.text_pair, task.label


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("x,y,gold", "abl"),
        ("gold,x,y", "lab"),
        ("0,1,2,3", "nabl"),
        ("y,x,gold", "abl"),
        ("Frage,Antwort,Urteil", "abl"),
        ("nr,c1,when,c2,c3", "nadbl"),
    ],
)
@pytest.mark.parametrize("counts", [(30, 99), (99, 30), (40, 40), (1000, 50), (50, 1000), (15, 20)])
def test_texts_that_decide_the_label_only_together_are_a_pair(
    tmp_path: Path, header: str, order: str, counts: tuple[int, int]
) -> None:
    rows = [
        [{"n": n, "a": a, "b": b, "l": label, "d": f"2024-01-{n % 28 + 1:02}"}[part] for part in order]
        for n, (a, b, label) in enumerate(rows_of_pairs(firsts=counts[0], seconds=counts[1]))
    ]
    names = header.split(",")
    written = infer(write_csv(tmp_path / "t.csv", names, rows))
    task = config_of(written).task
    assert (task.text, task.text_pair, task.label) == tuple(names[order.index(part)] for part in "abl")
    assert "are taken for a pair" in written
    assert "another label: correct them" not in written, "they are good rows"


@pytest.mark.parametrize("labels", ["scores", "several", "rare"])
def test_pairs_with_any_kind_of_label(tmp_path: Path, labels: str) -> None:
    draw = random.Random(4)
    make = {
        "scores": lambda: draw.randrange(41) / 8,
        "several": lambda: draw.choice(["a|b", "b", "c|a", "c"]),
        "rare": lambda: "yes" if draw.random() < 0.1 else "no",
    }[labels]
    rows = [[one, other, make()] for one, other, _ in rows_of_pairs(firsts=60, seconds=90, rows=400)]
    assert task_of(tmp_path, ["x", "y", "gold"], rows) == ("x", "y", "gold")


def test_pairs_in_a_table_sorted_by_label(tmp_path: Path) -> None:
    rows = sorted(rows_of_pairs(rows=900, firsts=90, seconds=200), key=lambda row: str(row[2]))
    assert task_of(tmp_path, ["x", "y", "gold"], rows) == ("x", "y", "gold")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "https://example.org/a/page/of/the/site/number-{}"),
        ("x", "row-{}-of-the-export-of-last-year"),
        ("x", "{} March 2021"),
        ("x", "Mon Jan 12 10:00:{} 2021"),
        ("x", "2021-03-01 10:00:{}"),
        ("x", "Anna B. Meier {}"),
        ("annotator_remark", "i was not so sure about number {}"),
    ],
)
def test_what_is_no_text_makes_no_pair_of_a_text_with_contradicting_labels(
    tmp_path: Path, name: str, value: str
) -> None:
    rows = rows_of_pairs(first=value, firsts=1000, seconds=60)
    assert task_of(tmp_path, [name, "y", "gold"], rows) == ("y", None, "gold")


def test_a_title_makes_no_pair(tmp_path: Path) -> None:
    rows = rows_of_pairs(first="what the paper says about thing {}", firsts=1000, seconds=60)
    for header in (["title", "y", "gold"], ["paper title", "y", "gold"], ["Headline", "story", "gold"]):
        assert task_of(tmp_path, header, rows)[1] is None


def test_a_second_text_beside_one_that_decides_is_only_mentioned(tmp_path: Path) -> None:
    draw = random.Random(5)
    for firsts, seconds in ((30, 1000), (1000, 1000), (1000, 90)):
        rows: list[list[object]] = []
        for _ in range(300):
            good = draw.random() < 0.5
            body = f"the {draw.randrange(seconds)}th story of the town was told and everyone was"
            rows.append([f"news of day {draw.randrange(firsts)}", f"{body} {'glad' if good else 'sad'}", "ny"[good]])
        written = infer(write_csv(tmp_path / "t.csv", ["a", "b", "gold"], rows))
        assert (config_of(written).task.text, config_of(written).task.text_pair) == ("b", None), (firsts, seconds)
        assert firsts == 30 or "column 'a' holds texts, too" in written


def test_sentences_that_recur_and_make_no_pair_are_refused_as_before(tmp_path: Path) -> None:
    rows = [[FIRST.format(n % 15), SECOND.format(n % 20), "yn"[n % 5 % 2]] for n in range(150)]
    with pytest.raises(DataError, match="no column looks like text"):
        infer(write_csv(tmp_path / "t.csv", ["x", "y", "gold"], rows))


def test_a_few_contradictions_are_mistakes_and_make_no_pair(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        [FIRST.format(n), SECOND.format(n % 250 + 1000), "yn"[n % 250 % 2 if n % 40 else n % 3 % 2]] for n in range(500)
    ]
    written = infer(write_csv(tmp_path / "t.csv", ["x", "y", "gold"], rows))
    assert config_of(written).task.text_pair is None
    assert "have a text that other rows give another label: correct them" in written


def test_a_description_of_the_label_makes_no_pair(tmp_path: Path) -> None:
    rows = [[f"it means: the answer is {row[2]}", *row[1:]] for row in rows_of_pairs()]
    assert task_of(tmp_path, ["x", "y", "gold"], rows)[1] is None


def test_a_text_known_by_its_name_stays_alone_but_its_rows_are_not_called_wrong(tmp_path: Path) -> None:
    written = infer(write_csv(tmp_path / "t.csv", ["x", "text", "gold"], rows_of_pairs()))
    assert (config_of(written).task.text, config_of(written).task.text_pair) == ("text", None)
    assert "if the label is about both, name 'x' as task.text_pair" in written
    assert "data.dedupe: true" not in written


@pytest.mark.parametrize(("names", "pair"), [(["x", "y"], None), (["sentence1", "sentence2"], "sentence2")])
def test_two_equal_columns_are_called_so(tmp_path: Path, names: list[str], pair: str | None) -> None:
    rows: list[list[object]] = [[f"{a} {b}", f"{a} {b} ", label] for a, b, label in rows_of_pairs()]
    written = infer(write_csv(tmp_path / "t.csv", [*names, "gold"], rows))
    assert (config_of(written).task.text, config_of(written).task.text_pair) == (names[0], pair)
    assert f"columns {names[0]!r} and {names[1]!r} hold the same text in all 150 rows" in written
    assert "correct the column with the wrong ones" in written
    rows[7][1] = "something else here"
    assert "the same text in 149 of 150 rows" in infer(write_csv(tmp_path / "u.csv", [*names, "gold"], rows))


def test_a_longer_text_that_never_recurs_does_not_hide_a_pair(tmp_path: Path) -> None:
    rows = rows_of_pairs(second=LONG_FIRST, firsts=50, seconds=10**6, rows=300)
    assert task_of(tmp_path, ["x", "y", "gold"], rows) == ("x", "y", "gold")
