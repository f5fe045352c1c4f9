"""Contrastive tuning: with few rows per label, a pretrained encoder first learns which rows share a label.

A few rows teach a head little, but they make many pairs. So the encoder is tuned until the cosine of two rows is 1 if
they have the same label and 0 if not (SetFit: Tunstall et al. 2022, https://arxiv.org/abs/2209.11055); here all pairs
of a batch count, and pairs of the same label as much as the others together. Then the head starts as the labels' mean
embeddings (Qi et al. 2018, https://arxiv.org/abs/1712.07136), and the usual training follows.

It runs on one device, also under a strategy, because a batch's pairs cannot be split between replicas.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.config import TaskConfig, TrainConfig
from models.errors import TrainingError
from models.training.batches import Batches
from models.training.devices import TrainingDevices
from models.training.optimizer import make_optimizer
from models.training.progress import Pace, Progress
from models.training.resuming.stopping import StopRequest
from models.training.step import BatchPredictor, TrainStep
from models.training.token_rows import TokenRows
from models.training.training_checks import loss_not_finite, translate_tf_errors

# Measured on samples of BANKING77 and TREC-6: benchmarks/few_rows.py.
_MOST_ROWS_PER_LABEL = 32
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 10, 50, 300
_HEAD_SCALE = 10.0
_FEWEST_ROWS = 8


@dataclass(frozen=True)
class ContrastivePlan:
    """How much is tuned, and on what."""

    rows_per_label: float  # mean over the labels that have rows
    labels: int  # of one batch
    rows: int  # of each of them
    steps: int

    def describe(self) -> str:
        """A line for the user."""
        return (
            f"{self.rows_per_label:.3g} rows per label: the encoder is first tuned on pairs of rows for "
            f"{self.steps} steps (train.contrastive)"
        )


def plan_tuning(
    rows: TokenRows, model: keras.Model, *, task: TaskConfig, config: TrainConfig, preset: bool
) -> ContrastivePlan | None:
    """Decides whether the encoder is tuned on pairs of rows.

    "auto": if the model is a preset whose encoder learns, the task is one label of one text, and the labels have few
    rows on average, two at least one of them.

    Raises:
        TrainingError: `config.contrastive` is "on", and there is nothing to tune, or no two rows have the same label.
    """
    if config.contrastive == "off":
        return None
    forced = config.contrastive == "on"
    fits = preset and task.type == "single_label" and task.text_pair is None and bool(split(model)[0].trainable_weights)
    if not fits:
        if forced:
            raise TrainingError(
                "train.contrastive is on",
                got="a task or a model that it cannot tune",
                expected="one label of one text (task.type single_label), and a preset whose encoder is trained",
                fix="remove train.contrastive",
            )
        return None
    counts = np.bincount(np.asarray(rows.targets))
    counts = counts[counts > 0]
    if counts.max() < 2:
        if forced:
            raise TrainingError(
                "train.contrastive is on, but no two training rows have the same label",
                got=f"{len(rows)} rows of {len(counts)} labels",
                expected="two rows of at least one label; eight of each are a good start",
                fix="add rows, or remove train.contrastive",
            )
        return None
    mean = len(rows) / len(counts)
    if not forced and mean > _MOST_ROWS_PER_LABEL:
        return None
    size = max(config.batch_size, _FEWEST_ROWS)
    labels = min(len(counts), size // 2)
    per_label = min(max(size // labels, 2), int(counts.max()))
    steps = math.ceil(_PASSES * len(rows) / (labels * per_label))
    return ContrastivePlan(mean, labels, per_label, min(max(steps, _FEWEST_STEPS), _MOST_STEPS))


def split(model: keras.Model) -> tuple[keras.Model, keras.layers.Dense]:
    """The model in two parts that share its weights: up to the embeddings [B, D], and the head."""
    head = model.layers[-1]
    return keras.Model(model.input, head.input), head


def pair_loss(targets: Any, embeddings: Any) -> Any:
    """The loss of each row, [B] float32, from targets [B] int32 and embeddings [B, D] float32.

    Squared distance of the cosines from 1 (rows of the same label) and 0 (others): the mean over the one kind plus the
    mean over the other. Rows of one label alone have no second part.
    """
    unit = tf.math.l2_normalize(embeddings, axis=-1)
    cosine = tf.matmul(unit, unit, transpose_b=True)
    same = tf.cast(targets[:, None] == targets[None, :], tf.float32)
    others = 1.0 - same
    same -= tf.eye(tf.shape(cosine)[0])

    def mean(squares: Any, chosen: Any) -> Any:
        return tf.reduce_sum(squares * chosen, axis=1) / tf.maximum(tf.reduce_sum(chosen, axis=1), 1.0)

    return mean(tf.square(1.0 - cosine), same) + mean(tf.square(cosine), others)


def draw_batch(targets: np.ndarray, plan: ContrastivePlan, seed: int, step: int) -> np.ndarray:
    """The rows of one batch, [labels * rows] int64: random labels, random rows of each.

    A label with fewer rows repeats them; a repeated row differs by its dropout (SimCSE: Gao et al. 2021,
    https://arxiv.org/abs/2104.08821).
    """
    source = np.random.default_rng([seed, step])
    labels = source.choice(np.unique(targets), plan.labels, replace=False)
    of_labels = [source.permutation(np.flatnonzero(targets == label)) for label in labels]
    return np.concatenate([np.resize(rows, plan.rows) for rows in of_labels])


def tune(
    model: keras.Model,
    rows: TokenRows,
    plan: ContrastivePlan,
    *,
    config: TrainConfig,
    depths: Mapping[str, int] | None,
    buckets: tuple[int, ...],
    pad_id: int,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """Tunes the encoder in place, and sets the head; on the default device, deterministic by `config.seed`.

    Args:
        model: outside any strategy.
        config: what `resolve_defaults` returned.
        depths: of the model's weights, for layer-wise learning rates.

    Returns:
        What the report says of it, as JSON values.

    Raises:
        TrainingError: a loss is not finite, or the step cannot be run.
        StopRequested: a signal asked to stop.
    """
    began, pace = time.perf_counter(), Pace()
    device = TrainingDevices("none", tf.distribute.get_strategy(), ())
    encoder, _ = split(model)
    batches = Batches(rows, buckets, plan.labels * plan.rows, pad_id=pad_id)
    targets, weights = np.asarray(rows.targets), np.ones(batches.batch_size)
    step = TrainStep(
        encoder, make_optimizer(encoder, config, steps=plan.steps, depths=depths), pair_loss, device, xla=config.xla
    )
    losses: list[float] = []
    for number in range(plan.steps):
        stop.check()
        started, traces = time.perf_counter(), step.traces
        batch = batches.make_batch(draw_batch(targets, plan, config.seed, number))
        with translate_tf_errors(config):
            result = step([batch], [weights], number)
            losses.append(float(result.loss))
        if not math.isfinite(losses[-1]):
            raise loss_not_finite(losses[-1], number + 1, plan.steps, float(result.learning_rate), config)
        if step.traces == traces:
            pace.seconds += time.perf_counter() - started
            pace.steps += 1
            pace.tokens += batch.tokens
        if pace.is_report_due() or number + 1 == plan.steps:
            left = pace.seconds_left(plan.steps - number - 1, 0)
            on_progress(Progress(0, 0, number + 1, plan.steps, losses[-1], pace.rate(), left))
    _set_head(model, batches, config)
    return {**asdict(plan), "first_loss": losses[0], "last_loss": losses[-1], "seconds": time.perf_counter() - began}


def _set_head(model: keras.Model, batches: Batches, config: TrainConfig) -> None:
    """Makes the logits the cosines with the labels' mean embeddings, times `_HEAD_SCALE` for an embedding of mean norm.

    A label without rows gets zeros.
    """
    encoder, head = split(model)
    device = TrainingDevices("none", tf.distribute.get_strategy(), ())
    predict = BatchPredictor(encoder, device, xla=config.xla)
    embeddings = np.empty((len(batches.rows), head.kernel.shape[0]), np.float32)
    for batch in batches.by_length():
        embeddings[batch.rows] = predict(batch.features)[: len(batch.rows)]
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = np.zeros(head.kernel.shape[::-1], np.float32)
    np.add.at(means, np.asarray(batches.rows.targets), embeddings / np.maximum(norms, 1e-12))
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    head.kernel.assign((means * (_HEAD_SCALE / max(float(norms.mean()), 1e-12))).T)
    head.bias.assign(np.zeros(head.bias.shape, np.float32))
