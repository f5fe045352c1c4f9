"""The rows that train, found again in the tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stored_training
import tiny_artifacts

from models.training.token_rows import TokenRows
from pipeline.config import ProjectConfig
from pipeline.inspection.prepared_rows import PreparedRows, shortened
from pipeline.paths import Paths


def _prepared(folder: Path, rows: list[tuple[str, str]]) -> PreparedRows:
    """Of rows of text and label, as steps have left them; the labels "no" and "yes" are known."""
    table = folder / "t.csv"
    table.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    examples = [{"text": text.encode(), "label": label.encode()} for text, label in rows]
    tiny_artifacts.write_examples(folder / "examples", examples)
    stored_training.TOKENIZER.save(folder)
    stored_training.LABELS.save(folder)
    config = ProjectConfig.model_validate({"name": "p", "data": {"path": "t.csv"}})
    outputs: Any = {
        "ExampleGen": {"examples": SimpleNamespace(uri=str(folder / "examples"))},
        "TokenizerTrainer": {"tokenizer": SimpleNamespace(uri=str(folder))},
    }
    return PreparedRows(config, Paths.from_config(config, folder / "transom.yaml"), outputs, folder / "work")


def test_rows_are_found_with_their_places_and_in_the_wanted_order(tmp_path: Path) -> None:
    texts = [(f"text {number}", ("no", "yes")[number % 2]) for number in range(300)]
    found = _prepared(tmp_path, texts).describe([250, 3])
    assert [(row["row"], row["text"], row["label"]) for row in found] == [
        (250, "text 250", "no"),
        (3, "text 3", "yes"),
    ]
    assert found[1]["places"] == [{"file": str(tmp_path / "t.csv"), "row": 4, "line": 5}]
    assert found[0].keys() == {"row", "text", "text_pair", "label", "places"}


def test_a_row_of_an_unknown_label_is_not_counted(tmp_path: Path) -> None:
    """As `TokenRows` does, which the indices are of."""
    found = _prepared(tmp_path, [("a", "no"), ("b", "other"), ("c", "yes")]).describe([0, 1])
    assert [row["text"] for row in found] == ["a", "c"]


def test_the_order_is_that_of_the_training(tmp_path: Path) -> None:
    """Transform keeps the order of the rows: the tokens of a described row are those that train."""
    from components.data.row_batches import RowBatch
    from components.data.rows import Record
    from components.steps.transform import Transformer
    from models.config import TaskConfig

    texts = [("a b c"[: 2 * (number % 3) + 1], ("no", "yes")[number % 2]) for number in range(30)]
    records = [Record(text, None, (label,), None, {}) for text, label in texts]
    transform = Transformer(TaskConfig(), stored_training.TOKENIZER, stored_training.LABELS)
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "rows.gz"), tf.io.TFRecordOptions("GZIP")) as writer:
        for example in transform(RowBatch.of_records(records, TaskConfig())):
            writer.write(example)
    rows = TokenRows.from_tfrecords([tmp_path / "rows.gz"], tmp_path / "rows", outputs=2, task="single_label")
    found = _prepared(tmp_path, texts).describe(range(30))
    assert [len(row["text"].split()) + 2 for row in found] == rows.lengths.tolist()
    assert [row["label"] == "yes" for row in found] == np.asarray(rows.targets, bool).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain café 🎬", "plain café 🎬"),
        ("\x1b]0;title\x07\n\r\t", "\\x1b]0;title\\x07\\n\\r\\t"),
        ("\u202ereversed\ud800", "\\u202ereversed\\ud800"),
        ("x" * 201, "x" * 200 + "…"),
        ("", ""),
    ],
)
def test_a_text_is_printed_safely(text: str, expected: str) -> None:
    assert shortened(text) == expected
