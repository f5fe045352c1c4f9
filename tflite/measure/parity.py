"""How a bundle's predictions differ, on real rows, from those of the Keras model that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.config import TaskConfig
from models.saved.restore import RestoredModel
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.prediction import TaskType

OnRows = Callable[[int], object]
NUMBER_TOLERANCE = 0.05
"""Regression: numbers agree if they differ by at most this share of the training targets' standard deviation."""
_BATCH = 32
# Closer to 0 or 1, the logarithm of a probability reflects float32's precision, not the model.
_SMALLEST = 1e-6


@dataclass(frozen=True)
class TextRow:
    """One row to predict."""

    text: str
    pair: str | None = None  # for a model of text pairs
    target: tuple[str, ...] | float | None = None  # the true labels or number; None if unknown
    slices: tuple[str, ...] = ()  # "column=value" of each slice that contains it


@dataclass(frozen=True)
class Reference:
    """Keras's predictions."""

    numbers: np.ndarray  # [N, C] float32, probabilities or numbers
    token_ids: list[list[int]]  # of each row, without padding, truncated to the bundle's length


@dataclass(frozen=True)
class Quality:
    """The quality of both on the same rows; NaN if no row has a target.

    Attributes:
        slice: "column=value", "" for all rows.
        rows: rows with a target.
        keras, edge: accuracy, micro-F1, or the mean absolute error in the targets' unit.
        loss: how much worse the edge is; for a regression, as a share of the targets' standard deviation in training.
    """

    slice: str
    rows: int
    keras: float
    edge: float
    loss: float


@dataclass(frozen=True)
class Parity:
    """The differences between one bundle and Keras."""

    rows: int  # number of rows compared
    other_token_ids: int  # rows whose token ids differ
    not_finite: int  # rows with a NaN or infinite prediction
    max_logit: float  # largest difference of a logit (single label: minus the row's mean, which changes no prediction)
    max_difference: float  # largest difference of a probability, or of a number as a share of the standard deviation
    agreement: float  # share of rows with the same prediction
    quality: tuple[Quality, ...]  # of all rows, then of each slice that is large enough


def keras_reference(
    model: RestoredModel,
    rows: Sequence[TextRow],
    max_length: int,
    on_rows: OnRows = lambda count: None,
) -> Reference:
    """Keras's predictions for the rows, and the token ids that a bundle of `max_length` tokens must produce.

    `on_rows` is called with the number of rows that have been predicted since its last call.
    """
    numbers = np.zeros((len(rows), model.labels.outputs), np.float32)
    token_ids: list[list[int]] = [[] for _ in rows]
    truncated = model
    if max_length < model.tokenizer.max_length:
        truncated = replace(model, tokenizer=replace(model.tokenizer, max_length=max_length))
    for batch in _batches(rows):
        texts, pairs = text_columns([rows[index] for index in batch], model.task)
        features = model.features(texts, pairs)
        numbers[batch] = model.predicted_values(features)
        truncated_features = features if truncated is model else truncated.features(texts, pairs)
        ids_of_rows, masks = (truncated_features[name].numpy() for name in ("token_ids", "padding_mask"))
        for index, ids, mask in zip(batch, ids_of_rows, masks, strict=True):
            token_ids[index] = ids[mask == 1].tolist()
        on_rows(len(batch))
    return Reference(numbers, token_ids)


def text_columns(rows: Sequence[TextRow], task: TaskConfig) -> tuple[list[bytes], list[bytes] | None]:
    """The arguments of `RestoredModel.features`: the first texts, and the second ones if the task has pairs."""
    texts = [row.text.encode() for row in rows]
    return texts, None if task.text_pair is None else [(row.pair or "").encode() for row in rows]


def _batches(rows: Sequence[TextRow]) -> Iterator[list[int]]:
    """The rows' indices, grouped by text length to save padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].text) + len(rows[index].pair or ""))
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]


def compare(
    bundle: EdgeClassifier,
    reference: Reference,
    rows: Sequence[TextRow],
    min_slice_size: int,
    on_rows: OnRows = lambda count: None,
) -> Parity:
    """Compares a bundle with Keras on the same rows.

    Args:
        bundle: a bundle with the same labels.
        reference: Keras's predictions, in the rows' order.
        rows: at least one.
        min_slice_size: smaller slices are left out.
        on_rows: see `keras_reference`.
    """
    encoded, predicted = [bundle.tokenizer(row.text, row.pair) for row in rows], []
    for each in encoded:
        predicted.append(bundle.model(*each))
        on_rows(1)
    edge = np.stack(predicted)
    keras, finite = reference.numbers, np.isfinite(edge).all(axis=-1)
    task, spread = bundle.manifest.task, _spread(bundle)
    same = _same_predictions(keras, edge, bundle) & finite
    return Parity(
        rows=len(rows),
        other_token_ids=sum(ids != own for (ids, _), own in zip(encoded, reference.token_ids, strict=True)),
        not_finite=int((~finite).sum()),
        max_logit=_largest(_logits(keras, task, spread) - _logits(edge, task, spread)),
        max_difference=_largest((keras - edge) / spread),
        agreement=float(same.mean()),
        quality=tuple(_quality(keras, edge, rows, bundle, min_slice_size)),
    )


def _spread(bundle: EdgeClassifier) -> float:
    return bundle.labels.std if bundle.manifest.task == "regression" else 1.0


def _largest(differences: np.ndarray) -> float:
    """The largest absolute difference; infinite if one is NaN."""
    return float(np.abs(np.nan_to_num(differences, nan=np.inf)).max())


def _same_predictions(keras: np.ndarray, edge: np.ndarray, bundle: EdgeClassifier) -> np.ndarray:
    """Which rows have the same prediction, [N] bool."""
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
    keras: np.ndarray, edge: np.ndarray, rows: Sequence[TextRow], bundle: EdgeClassifier, min_slice_size: int
) -> Iterator[Quality]:
    known = np.array([row.target is not None for row in rows])
    members: dict[str, list[int]] = {"": list(np.flatnonzero(known))}
    for index in members[""]:
        for name in rows[index].slices:
            members.setdefault(name, []).append(int(index))
    task, spread = bundle.manifest.task, _spread(bundle)
    for name, chosen in members.items():
        if name and len(chosen) < min_slice_size:
            continue
        targets = [rows[index].target for index in chosen]
        before, after = (_metric(numbers[chosen], targets, bundle) for numbers in (keras, edge))
        loss = (after - before) / spread if task == "regression" else before - after
        yield Quality(name, len(chosen), before, after, loss)


def _metric(numbers: np.ndarray, targets: Sequence[tuple[str, ...] | float | None], bundle: EdgeClassifier) -> float:
    """Accuracy, micro-F1 or the mean absolute error, depending on the task, of predictions [N, C]."""
    if not targets:
        return float("nan")
    if bundle.manifest.task == "regression":
        return float(np.abs(numbers[:, 0] - np.array(targets, np.float64)).mean())
    labels = bundle.labels.labels
    if bundle.manifest.task == "single_label":
        predicted = [(labels[index],) for index in numbers.argmax(axis=-1)]
        return float(np.mean([own == target for own, target in zip(predicted, targets, strict=True)]))
    right = total = 0
    for row, target in zip(numbers >= bundle.manifest.threshold, targets, strict=True):
        own = {label for label, above in zip(labels, row, strict=True) if above}
        true = set(target if isinstance(target, tuple) else ())
        right, total = right + len(own & true), total + len(own) + len(true)
    return 2 * right / total if total else 1.0
