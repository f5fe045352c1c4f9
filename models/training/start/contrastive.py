"""Contrastive tuning: with few rows per label, a pretrained encoder first learns which rows share a label.

A few rows teach a head little, but they make many pairs. So the encoder is first tuned on pairs of rows, as SetFit does
(Tunstall et al. 2022, https://arxiv.org/abs/2209.11055), here with the supervised contrastive loss over all pairs of a
batch (Khosla et al. 2020, https://arxiv.org/abs/2004.11362). Then the head starts as a logistic regression on the
embeddings, and the usual training follows.

It runs on one device, also under a strategy, because a batch's pairs cannot be split between replicas.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from threadpoolctl import threadpool_limits

from models.config import TaskConfig
from models.errors import TrainingError
from models.training.batches import Batches, choose_buckets
from models.training.frameworks.contract import make_predictor, make_step
from models.training.frameworks.devices import default_device
from models.training.optimizer import make_optimizer
from models.training.progress import Pace, Progress
from models.training.resuming.stopping import StopRequest
from models.training.start.head_start import embed, fit_one_label, split
from models.training.token_rows import TokenRows
from models.training.training_checks import explain_step_errors, loss_not_finite
from models.training_config import TrainConfig

# Measured on samples of BANKING77 and TREC-6, see benchmarks/README.md. A low temperature mostly keeps the pretrained
# similarities, as many similar labels need; a high one makes new ones, which TREC-6 needs and BANKING77 bears.
_TEMPERATURE = 0.3
_MOST_ROWS_PER_LABEL = 64
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 4, 50, 200
_FEWEST_ROWS = 8  # of a batch, however few `batch_size` asks for
_INVERSE_PENALTY = 10.0  # of the logistic regression
_SHAPE_COST = 8000  # what tracing the step for one more length costs, in tokens of training
_NEVER = 1e9  # subtracted from a score


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
    rows on average, two at least one of them. `preset` is False for LoRA, with which tuning has not been measured.

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
                expected="one label of one text (task.type single_label), and a preset that is trained without LoRA",
                fix="remove train.contrastive",
            )
        return None
    counts = np.bincount(np.asarray(rows.targets))
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.max() < 2:
        if forced:
            raise TrainingError(
                "train.contrastive is on, but the training rows make no pairs to compare",
                got=f"{len(rows)} rows of {len(counts)} labels",
                expected="two labels, and two rows of at least one of them; eight rows of each are a good start",
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


def pair_loss(targets: Any, embeddings: Any) -> Any:
    """The supervised contrastive loss of each row, [B] float32, from targets [B] int32 and embeddings [B, D] float32.

    The mean over the other rows of its label of -log p, where p is the softmax, over all other rows of the batch, of
    the cosines divided by the temperature. 0 for a row whose label no other row has.
    """
    # Not `ops.normalize`, whose gradient is NaN at zero.
    unit = embeddings * ops.rsqrt(ops.maximum(ops.sum(ops.square(embeddings), axis=-1, keepdims=True), 1e-12))
    itself = ops.eye(ops.shape(unit)[0], dtype="float32")
    scores = ops.matmul(unit, ops.transpose(unit)) / _TEMPERATURE - _NEVER * itself
    same = ops.cast(ops.equal(targets[:, None], targets[None, :]), "float32") - itself
    log_shares = ops.log_softmax(scores, axis=-1)
    return -ops.sum(log_shares * same, axis=-1) / ops.maximum(ops.sum(same, axis=-1), 1.0)


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
    max_length: int,
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
    encoder, _ = split(model)
    targets, size = np.asarray(rows.targets), plan.labels * plan.rows
    drawn = [draw_batch(targets, plan, config.seed, number) for number in range(plan.steps)]
    # `multiple`: a batch may have more rows than the table, because labels with few rows repeat them.
    batches = Batches(rows, _choose_buckets(rows, drawn, max_length), size, pad_id=pad_id, multiple=size)
    optimizer = make_optimizer(encoder, config, steps=plan.steps, depths=depths)
    # So few steps take less time than XLA's compilation.
    step = make_step(encoder, optimizer, pair_loss, default_device(), xla=False)
    losses: list[float] = []
    for number, chosen in enumerate(drawn):
        stop.check()
        started, traces = time.perf_counter(), step.traces
        batch = batches.make_batch(chosen)
        with explain_step_errors(config):
            result = step([batch], [np.ones(size)], number)
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
    _set_head(model, batches)
    return {**asdict(plan), "first_loss": losses[0], "last_loss": losses[-1], "seconds": time.perf_counter() - began}


def _choose_buckets(rows: TokenRows, drawn: Sequence[np.ndarray], max_length: int) -> tuple[int, ...]:
    """Static lengths for these batches, each as long as its longest row."""
    longest = np.array([rows.lengths[chosen].max() for chosen in drawn])
    cost = _SHAPE_COST // len(drawn[0])
    return choose_buckets(longest, limit=max_length, longest=int(rows.lengths.max()), shape_cost=cost)


def _set_head(model: keras.Model, batches: Batches) -> None:
    """Sets the head to a logistic regression on the rows' embeddings, which are scaled to length 1 for it.

    At most `_MOST_ROWS_PER_LABEL` rows of each label decide: the training that follows sees all. The head gets the
    embeddings as they are, so its kernel is divided by their mean length.
    """
    encoder, head = split(model)
    targets = np.asarray(batches.rows.targets)
    chosen = _choose_head_rows(targets)
    embeddings = embed(make_predictor(encoder, default_device(), xla=False), batches, chosen)
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    with threadpool_limits(1):
        kernel, bias = fit_one_label(embeddings / lengths, targets[chosen], np.ones(head.units), _INVERSE_PENALTY)
    head.kernel.assign((kernel / lengths.mean()).astype(np.float32))
    head.bias.assign(bias.astype(np.float32))


def _choose_head_rows(targets: np.ndarray) -> np.ndarray:
    """The rows that set the head, int64, ascending: all of a label, or random ones where it has too many."""
    source = np.random.default_rng(0)
    of_labels = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    return np.sort(np.concatenate([source.permutation(rows)[:_MOST_ROWS_PER_LABEL] for rows in of_labels]))
