"""`name`, `output`, `data`, `task`: which rows are read, how they are interpreted, and the folders."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from setting_effects import Setting, setting

from components.data.formats.files import find_files
from components.data.formats.readers import open_table
from components.data.rows import Record, records
from components.data.splits import sources
from components.data.text_keys import TextReading
from components.gathered import Gatherer
from components.steps.tokenizer_trainer import _Counts, _label_space
from components.tables_to_examples import plan_shards, write_examples
from components.tf_examples import from_example, read_batches
from models.errors import DataError
from models.saved.postprocessing import postprocess
from tflite.host.labels import LabelSpace

ROWS = [{"text": f"text {number}", "label": "ab"[number % 2], "other": f"other {number}"} for number in range(60)]
PAIR = {"task.text_pair": "other"}
MULTI = {"task.type": "multi_label"}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """A CSV file."""
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(here: Setting) -> dict[str, list[Record]]:
    """The rows of each split, as ExampleGen reads them."""
    data, task = here.data
    found: dict[str, list[Record]] = {}
    for source in sources(data):
        for path in find_files(source.patterns, here.folder, f"data.{source.key}"):
            for _, record in records(open_table(path, data.format), task):
                found.setdefault(source.split(record, task), []).append(record)
    return found


def texts(here: Setting, split: str = "train") -> set[str]:
    return {record.text for record in read(here).get(split, [])}


def one(here: Setting, **row: Any) -> Record:
    """A table's only row, as the task reads it."""
    (here.folder / "table.jsonl").write_text(json.dumps(row) + "\n")
    ((_, record),) = records(open_table(here.folder / "table.jsonl"), here.data[1])
    return record


@setting("name", "first", "second", steps="LiveModel Trainer Pusher")
def _(a: Setting, b: Setting) -> None:
    assert (a.paths.output.name, b.paths.output.name) == ("first-out", "second-out")
    assert (a.paths.push.name, b.paths.push.name) == ("first", "second")
    stored = [json.loads(here.steps["Trainer"]["config"])["name"] for here in (a, b)]
    assert stored == ["first", "second"]


@setting("output", "one", "two", steps="LiveModel Trainer Pusher")
def _(a: Setting, b: Setting) -> None:
    for here, name in ((a, "one"), (b, "two")):
        assert here.paths.artifacts == here.folder.resolve() / name / "artifacts"
        assert Path(here.steps["Pusher"]["directory"]).is_relative_to(here.folder.resolve() / name)


@setting("data.path", "table.csv", ["table.csv", "more.csv"], steps="ExampleGen Trainer")
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "table.csv", ROWS)
    write(a.folder, "more.csv", [{**row, "text": f"more {row['text']}"} for row in ROWS])
    counts = [sum(map(len, read(here).values())) for here in (a, b)]
    assert counts == [60, 120]


@setting("data.train", "first.csv", "second.csv", steps="ExampleGen Trainer")
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "first.csv", ROWS[:30])
    write(a.folder, "second.csv", ROWS[30:])
    assert texts(a) <= {row["text"] for row in ROWS[:30]}
    assert texts(b) <= {row["text"] for row in ROWS[30:]}


@setting("data.eval", None, "eval.csv", steps="ExampleGen Trainer", base={"data.train": "table.csv"})
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "table.csv", ROWS)
    write(a.folder, "eval.csv", [{**ROWS[0], "text": "given"}])
    assert texts(a, "eval") < {row["text"] for row in ROWS}
    assert texts(b, "eval") == {"given"}


@setting("data.test", None, "test.csv", steps="ExampleGen Trainer", base={"data.train": "table.csv"})
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "table.csv", ROWS)
    write(a.folder, "test.csv", [{**ROWS[0], "text": "given"}])
    assert texts(a, "test") == set()
    assert texts(b, "test") == {"given"}


@setting("data.format", "csv", "tsv", steps="ExampleGen Trainer")
def _(a: Setting, b: Setting) -> None:
    (a.folder / "table.csv").write_text("text\tlabel,text,label\na\tb,c,d\n")
    assert [record.text for rows in read(a).values() for record in rows] == ["c"]
    (b.folder / "table.csv").write_text("text\tlabel\na,b\tc\n")
    assert [record.text for rows in read(b).values() for record in rows] == ["a,b"]


for _split in ("train", "eval", "test"):

    @setting(f"data.splits.{_split}", 1, 50, steps="ExampleGen Trainer")
    def _(a: Setting, b: Setting, split: str = _split) -> None:
        write(a.folder, "table.csv", ROWS)
        few, many = len(texts(a, split)), len(texts(b, split))
        assert few < many > len(ROWS) / 2


@setting("data.split_by", None, "other", steps="ExampleGen Trainer")
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "table.csv", [{**row, "other": f"author {number % 5}"} for number, row in enumerate(ROWS)])
    authors = [[{record.others["other"] for record in rows} for rows in read(here).values()] for here in (a, b)]
    assert [sum(map(len, found)) > 5 for found in authors] == [True, False]


@setting("data.dedupe", False, True, steps="ExampleGen Trainer")
def _(a: Setting, b: Setting) -> None:
    write(a.folder, "table.csv", ROWS[:5] + ROWS[:5])
    for here, expected in ((a, 10), (b, 5)):
        data, task = here.data
        reading = TextReading() if data.dedupe else None
        (source,) = sources(data)
        target = here.folder / f"rows-{expected}"
        targets = {name: str(target / name) for name in ("train", "eval", "test")}
        shards = plan_shards([(source, here.folder / "table.csv")], data.format, task)
        write_examples(shards, data.format, task, reading, targets, Gatherer(str(here.folder / "temporary")))
        rows = [row for batch in read_batches([str(path) for path in target.glob("*/*")]) for row in batch]
        assert len([from_example(row, task) for row in rows]) == expected


@setting("data.schema_path", None, "curated.pbtxt", steps=None)
def _(a: Setting, b: Setting) -> None:
    features = "".join(f'feature {{ name: "{name}" type: BYTES }}\n' for name in ("text", "label", "curated"))
    (a.folder / "curated.pbtxt").write_text(features)
    assert a.steps["SchemaGen"]["curated"] == ""
    assert "curated" in b.steps["SchemaGen"]["curated"]
    assert (a.steps["DataGate"]["curated"], b.steps["DataGate"]["curated"]) == (0, 1)


_TASK = (
    "ExampleGen SchemaGen DataGate TokenizerTrainer Transform Baselines Trainer Evaluator ServingGate EdgeExporter "
    "EdgeGate"
)


@setting("task.type", "single_label", "multi_label", steps=_TASK)
def _(a: Setting, b: Setting) -> None:
    row = {"text": "good", "label": "x|y"}
    assert one(a, **row).labels == ("x|y",)
    assert one(b, **row).labels == ("x", "y")


@setting("task.text", "text", "other", steps=f"StatisticsGen {_TASK}")
def _(a: Setting, b: Setting) -> None:
    assert [one(here, **ROWS[3]).text for here in (a, b)] == ["text 3", "other 3"]


@setting("task.text_pair", None, "other", steps=f"StatisticsGen {_TASK}")
def _(a: Setting, b: Setting) -> None:
    assert [one(here, **ROWS[3]).text_pair for here in (a, b)] == [None, "other 3"]


@setting("task.label", "label", "other", steps=_TASK)
def _(a: Setting, b: Setting) -> None:
    assert [one(here, **ROWS[3]).labels for here in (a, b)] == [("b",), ("other 3",)]


@setting(
    "task.labels",
    None,
    ["b", "a", "c"],
    steps="DataGate TokenizerTrainer Baselines Trainer Evaluator ServingGate EdgeExporter EdgeGate",
)
def _(a: Setting, b: Setting) -> None:
    counts = _Counts(labels=Counter({"a": 3, "b": 1}), sums=Counter({"rows": 4}))
    assert _label_space(a.vocabulary[0], counts).labels == ("a", "b")
    space = _label_space(b.vocabulary[0], counts)
    assert (space.labels, space.counts) == (("b", "a", "c"), (1, 3, 0))


@setting(
    "task.label_separator",
    "|",
    ";",
    base=MULTI,
    steps=_TASK.replace("SchemaGen ", "").replace("Baselines ", "").replace("Transform ", ""),
)
def _(a: Setting, b: Setting) -> None:
    row = {"text": "good", "label": "x|y;z"}
    assert [one(here, **row).labels for here in (a, b)] == [("x", "y;z"), ("x|y", "z")]
    given = postprocess(tf.constant([[5.0, 5.0]]), b.models.task, LabelSpace(("x", "y")))
    assert given["label"].numpy().tolist() == [b"x;y"]


@setting(
    "task.decimal",
    None,
    ",",
    base={"task.type": "regression"},
    steps="ExampleGen TokenizerTrainer Trainer Evaluator ServingGate EdgeExporter EdgeGate",
)
def _(a: Setting, b: Setting) -> None:
    row = {"text": "good", "label": "0,5"}
    assert one(b, **row).number == 0.5
    with pytest.raises(DataError, match="decimal comma"):
        one(a, **row)


@setting(
    "task.threshold",
    0.5,
    0.9,
    base=MULTI,
    steps="TokenizerTrainer Trainer Evaluator ServingGate EdgeExporter EdgeGate",
)
def _(a: Setting, b: Setting) -> None:
    logits = tf.constant([[1.0, 3.0]])  # probabilities 0.73 and 0.95
    given = [postprocess(logits, here.models.task, LabelSpace(("x", "y")))["label"].numpy()[0] for here in (a, b)]
    assert given == [b"x|y", b"y"]
