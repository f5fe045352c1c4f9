"""Which split each row goes to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import DataConfig, SplitsConfig
from components.data.rows import Record
from components.data.splits import sources, split_names
from models.config import TaskConfig


def a_record(text: str, pair: str | None = None, **others: str) -> Record:
    return Record(text, pair, ("x",), None, others)


def test_hashed_splits_have_their_shares() -> None:
    (source,) = sources(DataConfig(path="t.csv", splits=SplitsConfig(train=6, eval=1, test=3)))
    counts = Counter(source.split(a_record(str(number)), TaskConfig()) for number in range(10_000))
    assert counts["train"] == pytest.approx(6000, rel=0.05)
    assert counts["eval"] == pytest.approx(1000, rel=0.1)
    assert counts["test"] == pytest.approx(3000, rel=0.05)


@given(st.text(), st.text())
def test_a_text_is_in_one_split(text: str, other: str) -> None:
    (source,) = sources(DataConfig(path="t.csv"))
    side = source.split(a_record(text), TaskConfig())
    assert side == source.split(a_record(f" {text}\n"), TaskConfig()) in ("train", "eval", "test")
    # the first text of a pair decides: a premise is in one split only
    assert source.split(a_record(text, other), TaskConfig(text_pair="other")) == side


def sides(split_by: object, records: list[Record]) -> list[str]:
    (source,) = sources(DataConfig(path="t.csv", split_by=split_by))
    return [source.split(record, TaskConfig(text_pair="other")) for record in records]


def test_columns_that_determine_the_split() -> None:
    rows = [a_record(f"text {n}", f"other {n % 7}", author=f"{'Aa'[n % 2]}nn {n % 30}") for n in range(3000)]
    for columns in ("author", ("author",), "other"):
        by_value: dict[str, set[str]] = {}
        for row, side in zip(rows, sides(columns, rows), strict=True):
            value = row.text_pair if columns == "other" else row.others["author"].lower()
            by_value.setdefault(str(value), set()).add(side)
        assert {len(found) for found in by_value.values()} == {1}
    together = sides(("text", "other"), [a_record("same", f"other {n}") for n in range(100)])
    assert len(set(together)) == 3
    # rows without a value are split by their text, so they are not all in one split
    assert sides("author", rows) != sides("text", [a_record(row.text) for row in rows])
    nobody = [a_record(f"text {n}", "") for n in range(100)]
    assert sides("author", nobody) == sides("text", nobody)


def test_given_splits() -> None:
    whole = DataConfig(train="a.csv", eval="b.csv", test=("c.csv", "d.csv"))
    assert [(source.key, source.patterns) for source in sources(whole)] == [
        ("train", ("a.csv",)),
        ("eval", ("b.csv",)),
        ("test", ("c.csv", "d.csv")),
    ]
    assert {name for source in sources(whole) for name in source.splits_of_keys(np.arange(50, dtype=np.uint64))} == {
        "train",
        "eval",
        "test",
    }
    assert split_names(DataConfig(train="a.csv")) == ("train", "eval")
    assert split_names(DataConfig(train="a.csv", eval="b.csv")) == ("train", "eval")
    train = sources(DataConfig(train="a.csv", test="c.csv"))[0]
    counts = Counter(train.split(a_record(str(number)), TaskConfig()) for number in range(10_000))
    assert counts["eval"] == pytest.approx(1000, rel=0.1)
