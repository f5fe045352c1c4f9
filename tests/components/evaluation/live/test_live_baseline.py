from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from evaluator_runs import LABELS, NumbersInText, example, export

from components.evaluation.live.live_baseline import load_baseline, load_model
from models.config import TaskConfig


def _without_config(folder: Path) -> None:
    (folder / "assets.extra/transom.json").unlink()


def _other_column(folder: Path) -> None:
    task = TaskConfig(text="review").model_dump(mode="json")
    (folder / "assets.extra/transom.json").write_text(json.dumps({"task": task}))


def _broken_labels(folder: Path) -> None:
    (folder / "assets.extra/labels.json").write_text('{"labels": ["bad", ')


def _broken_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def _broken_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"\x0a\xff\xff no graph")


def _no_model(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()


def _other_signature(folder: Path) -> None:
    model = NumbersInText(1, 0.0, [0])
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.tf_example})


def _other_output(folder: Path) -> None:
    model = NumbersInText(1, 0.0, [0])
    tf.saved_model.save(model, str(folder), signatures={"tf_example": model.tf_example})


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (_without_config, "its assets.extra/transom.json is missing or broken"),
        (_other_column, "its task.text is 'review', the candidate's is 'text'"),
        (_broken_labels, "its assets.extra/labels.json is missing or broken"),
        (_broken_variables, "it cannot be loaded or queried ("),
        (_broken_graph, "it cannot be loaded or queried ("),
        (_no_model, "it cannot be loaded or queried ("),
        (_other_signature, "it has no signature 'tf_example'"),
        (_other_output, "its signature 'tf_example' has no output 'probabilities'"),
    ],
)
def test_why_a_live_model_cannot_be_compared(tmp_path: Path, harm: Callable[[Path], None], expected: str) -> None:
    folder = export(tmp_path, TaskConfig(), labels=("naïve", "good", "bad")) / "Format-Serving"
    row = example({"text": "0.2 0.7 0.1"})
    baseline, reason = load_baseline(folder, TaskConfig(), LABELS, row)
    assert (baseline.labels, baseline.threshold, reason) == (("naïve", "good", "bad"), 0.5, "")
    harm(folder)
    load_model.cache_clear()
    baseline, reason = load_baseline(folder, TaskConfig(), LABELS, row)
    assert baseline is None
    assert expected in reason
