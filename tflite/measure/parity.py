"""How a bundle's answers differ from those of the Keras model it was made of, on real rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.config import TaskConfig
from models.saved.restore import RestoredModel
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.prediction import TaskType

NUMBER_TOLERANCE = 0.05
"""Regression: numbers that differ by less than this share of the training answers' spread are called the same."""
_BATCH = 32
# Where a probability is nearer to 0 or 1 its logarithm says more of float32 than of the model.
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Row:
    """One row to ask.

    Attributes:
        text, pair: what is read; `pair` for a model about pairs.
        answer: what is right: labels, or a number; None where nobody knows.
        slices: "column=value" of each slice that it is in.
    """

    text: str
    pair: str | None = None
    answer: tuple[str, ...] | float | None = None
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """What Keras answers.

    Attributes:
        numbers: [N, C] float32, probabilities or numbers.
        token_ids: of each row, without padding, cut at the length of the bundle.
    """

    numbers: np.ndarray
    token_ids: list[list[int]]


@dataclass(frozen=True)
class Quality:
    """How good both are on the same rows; NaN where no row has an answer.

    Attributes:
        slice: "column=value", "" for all rows.
        rows: rows with an answer.
        keras, edge: accuracy, micro-F1, or the mean absolute error in the answers' own unit.
        loss: how much worse the edge is; of a regression as a share of the training answers' spread.
    """

    slice: str
    rows: int
    keras: float
    edge: float
    loss: float


@dataclass(frozen=True)
class Parity:
    """The differences of one bundle.

    Attributes:
        rows: rows that were asked.
        other_token_ids: rows whose token ids are other ones.
        not_finite: rows with an answer that is no number.
        max_logit: largest difference of a logit (of one label a row: less the row's mean, which changes no answer).
        max_difference: largest difference of a probability, or of a number as a share of the spread.
        agreement: share of rows with the same answer.
        quality: all rows, then each slice of at least the rows that were asked for.
    """

    rows: int
    other_token_ids: int
    not_finite: int
    max_logit: float
    max_difference: float
    agreement: float
    quality: tuple[Quality, ...]


def ask_keras(model: RestoredModel, rows: Sequence[Row], max_length: int) -> Reference:
    """What Keras answers to the rows, and the token ids that a bundle of `max_length` tokens must find."""
    numbers = np.zeros((len(rows), model.labels.outputs), np.float32)
    token_ids: list[list[int]] = [[] for _ in rows]
    shorter = model
    if max_length < model.tokenizer.max_length:
        shorter = replace(model, tokenizer=replace(model.tokenizer, max_length=max_length))
    for batch in _batches(rows):
        texts, pairs = columns([rows[index] for index in batch], model.task)
        features = model.features(texts, pairs)
        numbers[batch] = model.predicted_values(features)
        cut = features if shorter is model else shorter.features(texts, pairs)
        for index, ids, mask in zip(batch, cut["token_ids"].numpy(), cut["padding_mask"].numpy(), strict=True):
            token_ids[index] = ids[mask == 1].tolist()
    return Reference(numbers, token_ids)


def columns(rows: Sequence[Row], task: TaskConfig) -> tuple[list[bytes], list[bytes] | None]:
    """The rows as `RestoredModel.features` takes them: first texts, and second ones where the task has them."""
    texts = [row.text.encode() for row in rows]
    return texts, None if task.text_pair is None else [(row.pair or "").encode() for row in rows]


def _batches(rows: Sequence[Row]) -> Iterator[list[int]]:
    """The rows' indices, texts of like length together, so that little is padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].text) + len(rows[index].pair or ""))
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]


def compare(bundle: EdgeClassifier, reference: Reference, rows: Sequence[Row], min_slice_size: int) -> Parity:
    """Asks a bundle the rows that Keras was asked.

    Args:
        bundle: with the same labels.
        reference: Keras's answers, in the rows' order.
        rows: at least one; without a row nothing can be said.
        min_slice_size: rows below which a slice is left out.
    """
    encoded = [bundle.tokenizer(row.text, row.pair) for row in rows]
    edge = np.stack([bundle.model(*each) for each in encoded])
    keras, finite = reference.numbers, np.isfinite(edge).all(axis=-1)
    task, spread = bundle.manifest.task, bundle.labels.std if bundle.manifest.task == "regression" else 1.0
    same = _same(keras, edge, bundle) & finite
    return Parity(
        rows=len(rows),
        other_token_ids=sum(ids != own for (ids, _), own in zip(encoded, reference.token_ids, strict=True)),
        not_finite=int((~finite).sum()),
        max_logit=_largest(_logits(keras, task, spread) - _logits(edge, task, spread)),
        max_difference=_largest((keras - edge) / spread),
        agreement=float(same.mean()),
        quality=tuple(_quality(keras, edge, rows, bundle, min_slice_size)),
    )


def _largest(differences: np.ndarray) -> float:
    """The largest of them; infinite where one is no number."""
    return float(np.abs(np.nan_to_num(differences, nan=np.inf)).max())


def _same(keras: np.ndarray, edge: np.ndarray, bundle: EdgeClassifier) -> np.ndarray:
    """Which rows get the same answer, [N] bool."""
    manifest = bundle.manifest
    if manifest.task == "single_label":
        same: np.ndarray = keras.argmax(axis=-1) == edge.argmax(axis=-1)
    elif manifest.task == "multi_label":
        same = ((keras >= manifest.threshold) == (edge >= manifest.threshold)).all(axis=-1)
    else:
        same = np.abs(keras - edge)[:, 0] <= NUMBER_TOLERANCE * bundle.labels.std
    return same


def _logits(numbers: np.ndarray, task: TaskType, spread: float) -> np.ndarray:
    if task == "regression":
        return numbers / spread
    clipped: np.ndarray = np.clip(numbers.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    logs: np.ndarray = np.log(clipped)
    mean_or_rest: np.ndarray = np.log1p(-clipped) if task == "multi_label" else logs.mean(axis=-1, keepdims=True)
    logits: np.ndarray = logs - mean_or_rest
    return logits


def _quality(
    keras: np.ndarray, edge: np.ndarray, rows: Sequence[Row], bundle: EdgeClassifier, least: int
) -> Iterator[Quality]:
    known = np.array([row.answer is not None for row in rows])
    members: dict[str, list[int]] = {"": list(np.flatnonzero(known))}
    for index in members[""]:
        for name in rows[index].slices:
            members.setdefault(name, []).append(int(index))
    task, spread = bundle.manifest.task, bundle.labels.std if bundle.manifest.task == "regression" else 1.0
    for name, chosen in members.items():
        if name and len(chosen) < least:
            continue
        answers = [rows[index].answer for index in chosen]
        before, after = (_figure(numbers[chosen], answers, bundle) for numbers in (keras, edge))
        loss = (after - before) / spread if task == "regression" else before - after
        yield Quality(name, len(chosen), before, after, loss)


def _figure(numbers: np.ndarray, answers: Sequence[tuple[str, ...] | float | None], bundle: EdgeClassifier) -> float:
    """Accuracy, micro-F1 or the mean absolute error, by the task, of answers [N, C]."""
    if not answers:
        return float("nan")
    if bundle.manifest.task == "regression":
        return float(np.abs(numbers[:, 0] - np.array(answers, np.float64)).mean())
    labels = bundle.labels.labels
    if bundle.manifest.task == "single_label":
        found = [(labels[index],) for index in numbers.argmax(axis=-1)]
        return float(np.mean([own == answer for own, answer in zip(found, answers, strict=True)]))
    right = given = wanted = 0
    for row, answer in zip(numbers >= bundle.manifest.threshold, answers, strict=True):
        own, true = {label for label, yes in zip(labels, row, strict=True) if yes}, set(_labels(answer))
        right, given, wanted = right + len(own & true), given + len(own), wanted + len(true)
    return 2 * right / (given + wanted) if given + wanted else 1.0


def _labels(answer: tuple[str, ...] | float | None) -> tuple[str, ...]:
    return answer if isinstance(answer, tuple) else ()
