"""Rows to replay against a server, and Keras's predictions for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tfx import types

from components.tf_examples import from_example, read_split
from models.config import TaskConfig
from models.saved.restore import RestoredModel
from serving.check.replay import ReplayRow, RowPrediction


def choose_replay_rows(examples: types.Artifact, split: str, task: TaskConfig, count: int) -> list[ReplayRow]:
    """The first `count` rows of a split, except that the split's longest and shortest texts take the last places.

    The rows are distinct; there are fewer if the split has fewer.
    """
    ends: dict[str, tuple[int, bytes]] = {}
    first: list[bytes] = []
    for serialized in read_split(examples, split):
        if len(first) < count:
            first.append(serialized)
        length = len(from_example(serialized, task).text)
        if not ends or length > ends["longest"][0]:
            ends["longest"] = (length, serialized)
        if "shortest" not in ends or length < ends["shortest"][0]:
            ends["shortest"] = (length, serialized)
    chosen = list(dict.fromkeys([*(serialized for _, serialized in ends.values()), *first]))[:count]
    return [_replay_row(serialized, task) for serialized in (*chosen[len(ends) :], *chosen[: len(ends)])]


def _replay_row(serialized: bytes, task: TaskConfig) -> ReplayRow:
    record = from_example(serialized, task)
    features = {task.text: record.text}
    if task.text_pair is not None:
        features[task.text_pair] = record.text_pair or ""
    return ReplayRow(record.text, record.text_pair, features, serialized)


def keras_predictions(model: RestoredModel, rows: Sequence[ReplayRow], tolerance: float) -> list[RowPrediction]:
    """The Keras model's prediction for each row, computed row by row, as a server receives them.

    Args:
        tolerance: decides which labels are `sure`.
    """
    return [_predict(model, row, tolerance) for row in rows]


def _predict(model: RestoredModel, row: ReplayRow, tolerance: float) -> RowPrediction:
    pairs = None if row.text_pair is None else [row.text_pair.encode()]
    outputs = model.predict([row.text.encode()], pairs)
    score = float(outputs["score"][0])
    if "label" not in outputs:
        return RowPrediction(score)
    probabilities = outputs["probabilities"][0].astype(float)
    return RowPrediction(
        score,
        outputs["label"][0].decode("utf-8"),
        dict(zip(model.labels.labels, probabilities.tolist(), strict=True)),
        _margin(probabilities, model.task) > 2 * tolerance,
    )


def _margin(probabilities: np.ndarray, task: TaskConfig) -> float:
    """How much the probabilities [C] must change to change the predicted label."""
    if task.type == "multi_label":
        return float(np.abs(probabilities - task.probability_threshold).min())
    ascending = np.sort(probabilities)
    return float(ascending[-1] - ascending[-2])
