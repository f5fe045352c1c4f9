"""Likely label errors that both the linear baseline and the trained model see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tfx import types

from components.baselines.label_errors import LabelError, confirm, load_suspects
from components.baselines.text_rows import record_key
from components.evaluation.live.live_baseline import SIGNATURE, load_model, output_name
from components.tf_examples import from_example, read_split
from models.config import TaskConfig
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.labels import LabelSpace

_BATCH_ROWS = 32


def confirmed_label_errors(
    baselines: Path, examples: types.Artifact, model: Path, task: TaskConfig
) -> dict[str, list[LabelError]]:
    """The likely label errors of each split.

    The model was trained on the training rows, so what it says of them is no evidence: there the linear model's
    cross-validated predictions decide alone. On the other rows the model must agree.

    Args:
        baselines: the folder of the stored baselines.
        examples: the raw rows.
        model: the SavedModel.
        task: the configured task.
    """
    suspects = load_suspects(baselines)
    found = {split: errors for split, errors in suspects.items() if split == "train"}
    others = {split: errors for split, errors in suspects.items() if split != "train"}
    if any(others.values()):
        predict, labels = load_model(str(model)).signatures[SIGNATURE], LabelSpace.load(model / EXTRA_FOLDER)
        for split, errors in others.items():
            rows = _rows(examples, split, errors, task)
            batches = [rows[begin : begin + _BATCH_ROWS] for begin in range(0, len(rows), _BATCH_ROWS)]
            predicted = [predict(tf.constant(batch))[output_name(task)].numpy() for batch in batches]
            one_label = task.type == "single_label"
            probabilities = np.concatenate(predicted) if predicted else np.zeros((0, labels.outputs))
            found[split] = confirm(errors, labels.labels, probabilities, one_label=one_label)
    return found


def _rows(examples: types.Artifact, split: str, errors: Sequence[LabelError], task: TaskConfig) -> list[bytes]:
    """The serialized rows of the suspects, in their order."""
    wanted = {error.key for error in errors}
    by_key: dict[int, bytes] = {}
    for row in read_split(examples, split) if wanted else ():
        key = record_key(from_example(row, task))
        if key in wanted:
            by_key[key] = row
            if len(by_key) == len(wanted):
                break
    return [by_key[error.key] for error in errors]
