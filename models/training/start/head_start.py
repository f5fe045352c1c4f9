"""The head starts as a regression on what the pretrained encoder already tells apart.

A random head sends random gradients into the encoder, which lose much of what pretraining has learned before the head
points anywhere (Kumar et al. 2022, https://arxiv.org/abs/2202.10054: first the head alone, then all). The best linear
head is found without gradients: a logistic regression for labels, a ridge regression for a number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from models.config import TaskConfig
from models.network.head import find_head
from models.training.batches import Batches, choose_buckets
from models.training.frameworks.contract import Predictor, make_predictor
from models.training.resuming.stopping import StopRequest
from models.training.start.regressions import fit_each_label, fit_number, fit_softmax
from models.training.training_checks import explain_step_errors
from tflite.host.labels import LabelSpace

if TYPE_CHECKING:
    from models.training.loop import Loop

_MOST_ROWS = 6000
_MOST_TARGETS = 300_000  # rows times outputs: about 10 s of fitting
_STRENGTH = 1.0  # of the logistic and of the ridge regression; the best of 0.1, 1 and 10 on MRPC and STS-B


def split(model: keras.Model) -> tuple[keras.Model, keras.layers.Dense]:
    """The model in two parts that share its weights: up to the embeddings [B, D], and the head."""
    head = find_head(model)
    return keras.Model(model.input, head.input), head


def starts_with_head(task: TaskConfig, *, preset: bool) -> bool:
    """Whether the head is set before the first step: for two texts and a preset, with and without LoRA."""
    return preset and task.text_pair is not None


def start_head(loop: Loop, stop: StopRequest) -> None:
    """Sets the head of the loop's model to a regression on the embeddings of its training rows, and says so.

    Raises:
        StopRequested: a signal asked to stop.
        TrainingError: the encoder cannot be run.
    """
    began, rows, task = time.perf_counter(), loop.batches.rows, loop.task
    chosen = choose_rows(len(rows), loop.labels.outputs)
    kind = "ridge" if task.type == "regression" else "logistic"
    loop.on_note(f"the head starts as a {kind} regression on {len(chosen)} row{'' if len(chosen) == 1 else 's'}")
    lengths = rows.lengths[chosen]
    buckets = choose_buckets(lengths, limit=int(lengths.max()))
    batches = Batches(
        rows,
        buckets,
        loop.evaluation.batch_size,  # without gradients, more rows fit into a batch
        pad_id=loop.batches.pad_id,
        multiple=loop.devices.replicas,
    )
    with loop.devices.scope():
        encoder, head = split(loop.model)
        with explain_step_errors(loop.config):
            embeddings = embed(make_predictor(encoder, loop.devices, xla=False), batches, chosen, stop)
        targets = np.asarray(rows.targets[chosen])
        fitted = set_head(head, embeddings, targets, task=task, labels=loop.labels, label_weights=loop.weights)
    loop.position.head_start = {"rows": fitted, "seconds": time.perf_counter() - began}


def choose_rows(rows: int, outputs: int) -> np.ndarray:
    """The rows that the head is fitted to, int64, ascending: all, or random ones of a larger table."""
    most = max(min(_MOST_ROWS, _MOST_TARGETS // outputs), 1)
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def embed(predict: Predictor, batches: Batches, rows: np.ndarray, stop: StopRequest | None = None) -> np.ndarray:
    """The embeddings of these rows, float32 [n, D].

    Args:
        predict: of the encoder that `split` gave.

    Raises:
        StopRequested: a signal asked to stop.
    """
    by_length = np.argsort(batches.rows.lengths[rows], kind="stable")
    parts = []
    for begin in range(0, len(rows), batches.batch_size):
        if stop is not None:
            stop.check()
        places = by_length[begin : begin + batches.batch_size]
        parts.append(predict(batches.make_batch(rows[places]).features)[: len(places)])
    embeddings = np.empty((len(rows), parts[0].shape[1]), np.float32)
    embeddings[by_length] = np.concatenate(parts)
    return embeddings


def set_head(
    head: keras.layers.Dense,
    embeddings: np.ndarray,
    targets: np.ndarray,
    *,
    task: TaskConfig,
    labels: LabelSpace,
    label_weights: np.ndarray,
) -> int:
    """Sets the head to a regression on the embeddings.

    They are divided by their mean length, so that the strength of the penalty does not depend on the encoder. Rows
    whose embedding or target is not finite are left out: the loss of the training that follows reports them.

    Args:
        head: called in the scope of its strategy.
        embeddings: float32 [n, D].
        targets: of the same rows, as in `TokenRows`.
        label_weights: [C], of the labels in the loss.

    Returns:
        The rows that it was fitted to. If there are none, the head stays as it is.
    """
    if task.type == "regression":
        targets = (targets - labels.mean) / labels.std
    kept = np.isfinite(embeddings).all(axis=1) & np.isfinite(targets.reshape(len(targets), -1)).all(axis=1)
    features, targets = embeddings[kept].astype(np.float64), targets[kept]
    if not len(features):
        return 0
    scale = float(np.linalg.norm(features, axis=1).mean()) or 1.0
    fit = {"single_label": fit_one_label, "multi_label": fit_each_label, "regression": fit_number}[task.type]
    with threadpool_limits(1):  # more threads would make the weights depend on the number of cores
        kernel, bias = fit(features / scale, targets, label_weights, _STRENGTH)
    head.kernel.assign((kernel / scale).astype(np.float32))
    head.bias.assign(bias.astype(np.float32))
    return len(features)


def fit_one_label(
    features: np.ndarray, targets: np.ndarray, label_weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression; a label without rows gets the lowest logit of any row.

    Args:
        features: [n, D].
        targets: integers [n].
        label_weights: [C], of the labels in the loss.
        strength: scikit-learn's C.

    Returns:
        Kernel [D, C] and bias [C]. With rows of a single label the kernel is 0, and the biases are log shares.
    """
    kernel = np.zeros((features.shape[1], len(label_weights)))
    if targets.min() == targets.max():
        counts = np.bincount(targets, minlength=len(label_weights)) + 0.5
        return kernel, np.log(counts / counts.sum())
    present, weights, biases = fit_softmax(features, targets, strength, label_weights[targets])
    bias = np.full(len(label_weights), (features @ weights + biases).min())
    kernel[:, present], bias[present] = weights, biases
    return kernel, bias
