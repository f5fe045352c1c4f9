"""Rows to replay against a server, and Keras's predictions for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tfx import types

from components.tf_examples import from_example, from_examples, read_batches, split_files
from models.config import TaskConfig
from models.saved.restore import RestoredModel
from serving.check.replay import ReplayRow, RowPrediction

_BATCH = 32


def choose_replay_rows(examples: types.Artifact, split: str, task: TaskConfig, count: int) -> list[ReplayRow]:
    """The first `count` rows of a split, except that the split's longest and shortest texts take the last places.

    The rows are distinct; there are fewer if the split has fewer.
    """
    ends: dict[str, tuple[int, bytes]] = {}
    first: list[bytes] = []
    for batch in read_batches(split_files(examples, split)):
        first += batch[: count - len(first)]
        for serialized, text in zip(batch, from_examples(batch, task).texts, strict=True):
            length = len(text)
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
    """The Keras model's prediction for each row.

    Args:
        tolerance: decides which labels are `sure`.
    """
    predictions: list[RowPrediction] = []
    for begin in range(0, len(rows), _BATCH):
        some = rows[begin : begin + _BATCH]
        pairs = [row.text_pair.encode() for row in some if row.text_pair is not None]
        outputs = model.predict([row.text.encode() for row in some], pairs or None)
        predictions += [_prediction(outputs, place, model, tolerance) for place in range(len(some))]
    return predictions


def _prediction(outputs: Mapping[str, np.ndarray], place: int, model: RestoredModel, tolerance: float) -> RowPrediction:
    score = float(outputs["score"][place])
    if "label" not in outputs:
        return RowPrediction(score)
    probabilities = outputs["probabilities"][place].astype(float)
    return RowPrediction(
        score,
        outputs["label"][place].decode("utf-8"),
        dict(zip(model.labels.labels, probabilities.tolist(), strict=True)),
        _margin(probabilities, model.task) > 2 * tolerance,
    )


def _margin(probabilities: np.ndarray, task: TaskConfig) -> float:
    """How much the probabilities [C] must change to change the predicted label."""
    if task.type == "multi_label":
        return float(np.abs(probabilities - task.probability_threshold).min())
    ascending = np.sort(probabilities)
    return float(ascending[-1] - ascending[-2])
