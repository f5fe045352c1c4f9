"""Rows to replay against a server, and what Keras answers to them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from tfx import types

from components.tf_examples import from_example, read_split
from models.config import TaskConfig
from models.saved.restore import RestoredModel
from serving.check.replay import Answer, Question


def questions(examples: types.Artifact, split: str, task: TaskConfig, rows: int) -> list[Question]:
    """The first `rows` rows of a split, in which the longest and the shortest text of all of it take the last places.

    They are all different, and fewer where the split has fewer.
    """
    ends: dict[str, tuple[int, bytes]] = {}
    first: list[bytes] = []
    for serialized in read_split(examples, split):
        if len(first) < rows:
            first.append(serialized)
        length = len(from_example(serialized, task).text)
        if not ends or length > ends["longest"][0]:
            ends["longest"] = (length, serialized)
        if "shortest" not in ends or length < ends["shortest"][0]:
            ends["shortest"] = (length, serialized)
    wanted = dict.fromkeys(itertools.chain((serialized for _, serialized in ends.values()), first))
    chosen = list(wanted)[:rows]
    return [_question(serialized, task) for serialized in (*chosen[len(ends) :], *chosen[: len(ends)])]


def _question(serialized: bytes, task: TaskConfig) -> Question:
    record = from_example(serialized, task)
    features = {task.text: record.text}
    if task.text_pair is not None:
        features[task.text_pair] = record.text_pair or ""
    return Question(record.text, record.text_pair, features, serialized)


def keras_answers(model: RestoredModel, asked: Sequence[Question], tolerance: float) -> list[Answer]:
    """What the Keras model answers to each question alone, as a server is asked.

    Args:
        tolerance: decides which labels are `sure`.
    """
    return [_answer(model, question, tolerance) for question in asked]


def _answer(model: RestoredModel, question: Question, tolerance: float) -> Answer:
    pairs = None if question.text_pair is None else [question.text_pair.encode()]
    found = model.predict([question.text.encode()], pairs)
    score = float(found["score"][0])
    if "label" not in found:
        return Answer(score)
    probabilities = found["probabilities"][0].astype(float)
    return Answer(
        score,
        found["label"][0].decode("utf-8"),
        dict(zip(model.labels.labels, probabilities.tolist(), strict=True)),
        _margin(probabilities, model.task) > 2 * tolerance,
    )


def _margin(probabilities: np.ndarray, task: TaskConfig) -> float:
    """How much the probabilities [C] must change for another label to be given."""
    if task.type == "multi_label":
        return float(np.abs(probabilities - task.threshold).min())
    best = np.sort(probabilities)
    return float(best[-1] - best[-2])
