"""Runs of the Evaluator on tiny SavedModels whose outputs a test chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tiny_artifacts import artifact

from components.artifacts import BaselinesArtifact, LiveModelArtifact
from components.config import EvaluationConfig
from components.evaluation.summary import load_summary
from components.steps.baselines import Executor as BaselinesExecutor
from components.steps.evaluator import Executor
from components.tfx_step import BeamExecutor
from models.config import TaskConfig
from tflite.host.labels import LabelSpace

LABELS = ("bad", "good", "naïve")
ROWS = 150


class NumbersInText(tf.Module):
    """A model that reads its outputs from the text: "0.2 0.7 0.1 some words" has the probabilities 0.2, 0.7, 0.1."""

    def __init__(self, outputs: int, shift: float, order: list[int]) -> None:
        super().__init__()
        self.outputs, self.shift = outputs, tf.Variable(shift)
        self.order = tf.constant(order)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def tf_example(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"text": tf.io.FixedLenFeature([], tf.string)})
        words = tf.strings.split(parsed["text"]).to_tensor()[:, : self.outputs]
        numbers = tf.strings.to_number(tf.ensure_shape(words, [None, self.outputs])) + self.shift
        if self.outputs == 1:
            return {"score": numbers[:, 0]}
        return {"probabilities": tf.gather(numbers, self.order, axis=1), "score": tf.reduce_max(numbers, axis=1)}


def export(
    folder: Path,
    task: TaskConfig,
    *,
    labels: tuple[str, ...] = LABELS,
    shift: float = 0.0,
    temperatures: tuple[float, ...] = (),
) -> Path:
    """A SavedModel as the Trainer exports it: signature `tf_example`, with its labels and configuration."""
    serving = folder / "Format-Serving"
    order = [LABELS.index(label) if label in LABELS else 0 for label in labels] or [0]
    model = NumbersInText(len(labels) or 1, shift, order)
    tf.saved_model.save(model, str(serving), signatures={"tf_example": model.tf_example})
    extra = serving / "assets.extra"
    extra.mkdir()
    LabelSpace(labels=labels, temperatures=temperatures).save(extra)
    (extra / "transom.json").write_text(json.dumps({"task": task.model_dump(mode="json")}))
    return folder


def write_examples(folder: Path, rows: dict[str, list[dict[str, Any]]]) -> Any:
    """Rows as ExampleGen writes them: split to rows, a row column to value (bytes, list of bytes or number)."""
    examples = artifact(standard_artifacts.Examples, folder)
    examples.split_names = artifact_utils.encode_split_names(list(rows))
    for split, content in rows.items():
        (folder / f"Split-{split}").mkdir()
        path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
            for row in content:
                writer.write(example(row))
    return examples


def example(row: dict[str, Any]) -> bytes:
    feature = {}
    for name, value in row.items():
        if isinstance(value, float):
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        else:
            values = value if isinstance(value, list) else [value]
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.encode() for item in values]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def evaluate(
    folder: Path,
    task: TaskConfig,
    examples: Any,
    model: Path,
    live: Any = None,
    *,
    to: Path | None = None,
    with_baselines: bool = False,
    **config: Any,
) -> tuple[dict[str, Any], Any]:
    """Runs the executor; returns the summary and the blessing.

    Args:
        to: the evaluation's folder.
        with_baselines: whether to fit the baselines first.
    """
    evaluation = artifact(standard_artifacts.ModelEvaluation, to or folder / "evaluation")
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    inputs = {"examples": [examples], "model": [artifact(standard_artifacts.Model, model)]}
    if live is not None:
        inputs["live_model"] = [live]
    if with_baselines:
        inputs["baselines"] = [fit_baselines(folder, task, examples)]
    properties = {
        "task": task.model_dump_json(),
        "config": EvaluationConfig.model_validate(config).model_dump_json(),
        "training_metric": "auto",
        "code": "",
    }
    context = BeamExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
    if evaluation.has_custom_property("reused"):
        Path(evaluation.uri, "reused").touch()
    return load_summary(evaluation.uri), blessing


def fit_baselines(folder: Path, task: TaskConfig, examples: Any) -> Any:
    """Runs the executor of the step Baselines."""
    fitted = artifact(BaselinesArtifact, folder / "baselines")
    properties = {"task": task.model_dump_json(), "linear": 1, "code": ""}
    BaselinesExecutor().Do({"examples": [examples]}, {"baselines": [fitted]}, properties)
    return fitted


def live_model(folder: Path, version: int) -> Any:
    live = artifact(LiveModelArtifact, folder / "Format-Serving")
    live.version = version
    return live


def text_of(numbers: np.ndarray, words: int) -> str:
    return " ".join([*(f"{number:.6f}" for number in numbers), *["word"] * words])


def single_label_rows(seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """Rows with three labels, their targets, and the probabilities in their texts."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, ROWS, p=[0.55, 0.4, 0.05])
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], ROWS)
    probabilities[np.arange(ROWS), targets] += 0.5
    probabilities = np.round(probabilities / probabilities.sum(1, keepdims=True), 6)
    rows = []
    for index, target in enumerate(targets):
        row = {"text": text_of(probabilities[index], index % 40), "label": LABELS[target]}
        if index % 3:
            row["source"] = f"site {index % 2}"
        row["a=b"] = f"{'yes' if index % 2 else 'no'}=c"
        rows.append(row)
    return rows, targets, probabilities
