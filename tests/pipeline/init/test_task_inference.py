"""The columns, task and splits that `transom init` infers from a table."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from inferred_tables import config_of, sentence, write_csv

from models.errors import DataError
from pipeline.init.new_project import infer


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "task", "text", "pair", "splits"),
    [
        ("atis", "single_label", "text", None, {"eval", "test"}),
        ("banking77", "single_label", "text", None, {"test"}),
        ("chnsenticorp", "single_label", "text", None, {"eval", "test"}),
        ("mrpc", "single_label", "text_a", "text_b", {"eval", "test"}),
        ("sst2", "single_label", "text", None, {"eval", "test"}),
        ("stsb_en", "regression", "text_a", "text_b", {"eval", "test"}),
        ("te_emotion", "single_label", "text", None, {"eval", "test"}),
        ("trec6", "single_label", "text", None, {"test"}),
    ],
)
def test_real_data(datasets: Path, name: str, task: str, text: str, pair: str | None, splits: set[str]) -> None:
    written = infer(datasets / name / "train.csv")
    config = config_of(written)
    assert (config.name, config.task.type, config.task.label) == (name, task, "label")
    assert (config.task.text, config.task.text_pair) == (text, pair)
    assert (config.data.train, config.data.path) == ("train.csv", None)
    assert {split for split in ("eval", "test") if getattr(config.data, split)} == splits
    assert ("class_weights: balanced gives" in written) == (name in ("atis", "trec6"))
    assert ("test has labels that are not in train" in written) == (name == "atis")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        # known names, in any order
        (["label", "id", "text"], lambda n: ["ab"[n % 2], n, sentence(n)], ("single_label", "text", None, "label")),
        # meaningless names
        (["c1", "c2", "c3"], lambda n: [n, sentence(n), "ab"[n % 2]], ("single_label", "c2", None, "c3")),
        (["Review", "Stars"], lambda n: [sentence(n), n % 5 + 1], ("single_label", "Review", None, "Stars")),
        (["review", "rating"], lambda n: [sentence(n), n % 101], ("regression", "review", None, "rating")),
        (["text", "label"], lambda n: [sentence(n), n % 30], ("single_label", "text", None, "label")),
        (["text", "price"], lambda n: [sentence(n), n * 1.5], ("regression", "text", None, "price")),
        # the only other column, but it numbers the rows
        (["text", "id"], lambda n: [sentence(n), n * 7], ("error", "", "", "")),
        (["text", "n"], lambda n: [sentence(n), n + 4], ("error", "", "", "")),
        (["text", "score"], lambda n: [sentence(n), n / 8], ("regression", "text", None, "score")),
        (
            ["premise", "hypothesis", "label"],
            lambda n: [sentence(n), sentence(-n), "xyz"[n % 3]],
            ("single_label", "premise", "hypothesis", "label"),
        ),
        (
            ["Sentence1", "Sentence2", "similarity_score"],
            lambda n: [sentence(n), sentence(-n), n / 8],
            ("regression", "Sentence1", "Sentence2", "similarity_score"),
        ),
        (
            ["question", "answer"],
            lambda n: [sentence(n), ["yes", "no"][n % 2]],
            ("single_label", "question", None, "answer"),
        ),
        (
            ["text", "tags"],
            lambda n: [sentence(n), ["x|y", "y", "x", "z|x", ""][n % 5]],
            ("multi_label", "text", None, "tags"),
        ),
        (
            ["text", "topics"],
            lambda n: [sentence(n), ["a b; c", "c", "a b", "d; c"][n % 4]],
            ("multi_label", "text", None, "topics"),
        ),
        # a comma in a name is not a separator if its parts never occur elsewhere
        (
            ["text", "label"],
            lambda n: [sentence(n), ["Paris, France", "Oslo, Norway"][n % 2]],
            ("single_label", "text", None, "label"),
        ),
        # short texts, recognized by name
        (["text", "label"], lambda n: [f"w{n}", "ab"[n % 2]], ("single_label", "text", None, "label")),
        (["text", "note"], lambda n: [sentence(n), sentence(n * 7)], ("error", "", "", "")),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_made_tables(tmp_path: Path, header: list[str], row: object, expected: tuple, ending: str) -> None:
    rows = [row(number) for number in range(300)]
    path = tmp_path / f"my reviews{ending}"
    if ending == ".csv":
        write_csv(path, header, rows)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(header, one, strict=True))) + "\n" for one in rows))
    else:
        columns = zip(*rows, strict=True)
        pyarrow.parquet.write_table(pyarrow.table(dict(zip(header, map(list, columns), strict=True))), path)
    if expected[0] == "error":
        with pytest.raises(DataError, match="no column looks like a label"):
            infer(path)
        return
    config = config_of(infer(path))
    assert (config.task.type, config.task.text, config.task.text_pair, config.task.label) == expected
    assert (config.name, config.data.path) == ("my-reviews", path.name)
    if expected[3] == "topics":
        assert config.task.label_separator == ";"


def test_pairs_with_a_number_inside_their_names(tmp_path: Path) -> None:
    rows = [[n % 2, sentence(n), sentence(n + 1000)] for n in range(300)]
    task = config_of(infer(write_csv(tmp_path / "t.csv", ["Quality", "#1 String", "#2 String"], rows))).task
    assert (task.text, task.text_pair, task.label) == ("#1 String", "#2 String", "Quality")


@pytest.mark.parametrize(("premises", "split_by"), [(5, "hypothesis"), (150, None)])
def test_pairs_are_split_by_the_text_that_has_many_values(tmp_path: Path, premises: int, split_by: str | None) -> None:
    rows = [[f"{sentence(n % premises)} " * 2, sentence(-n), "ab"[n % 2]] for n in range(600)]
    path = write_csv(tmp_path / "t.csv", ["premise", "hypothesis", "label"], rows)
    text = infer(path)
    assert config_of(text).data.split_by == split_by
    assert "will refuse" not in text
