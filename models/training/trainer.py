"""The training loop: epochs of steps, evaluation, the best epoch, early stopping, exact resumption, the report."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models import runtime
from models.build import count_parameters
from models.config import TaskConfig, TrainConfig
from models.labels import LabelSpace
from models.layers import Bigrams
from models.training import metrics
from models.training.batches import Batches, choose_buckets
from models.training.checkpoint import Checkpoints, fingerprint
from models.training.checks import check_rows, explained, not_finite
from models.training.loss import label_weights, row_loss, row_weights
from models.training.optimizer import averaged, make_optimizer, resolve_defaults
from models.training.report import Board, peak_device_memory_mb, peak_memory_mb
from models.training.rows import TokenRows
from models.training.step import Predictor, StepResult, TrainStep
from models.training.strategy import Placement, place

logger = logging.getLogger(__name__)

# Reading a loss waits for the device, so that losses are read in groups.
_STEPS_BETWEEN_READS = 10


@dataclass(frozen=True)
class Progress:
    """What `on_progress` is told, every few steps and after every epoch.

    Attributes:
        epoch: the current one, from 1; `epochs`: at most so many.
        step: optimizer steps done in all; `steps`: of the whole training, without early stopping.
        loss: mean training loss of the epoch so far.
        tokens_per_second: real tokens, compilation left out.
        evaluation: metrics of the eval split, after an epoch only.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    evaluation: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Trained:
    """A trained model: float32, outside any strategy, with the best epoch's weights; and a report of JSON values."""

    model: keras.Model
    report: dict[str, Any]


@dataclass
class _Position:
    """All that a checkpoint says besides the variables."""

    epoch: int = 0
    step: int = 0  # optimizer steps done in this epoch
    total_steps: int = 0
    loss_sum: float = 0.0  # of this epoch's steps
    seconds: float = 0.0
    best_epoch: int | None = None
    best_value: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Pace:
    """Tokens and seconds of the steps that compiled nothing."""

    tokens: int = 0
    padded: int = 0
    seconds: float = 0.0

    def rate(self, padded: bool = False) -> float:
        return (self.padded if padded else self.tokens) / self.seconds if self.seconds else 0.0


def train(
    make_model: Callable[[], keras.Model],
    train: TokenRows,
    evaluation: TokenRows,
    *,
    task: TaskConfig,
    config: TrainConfig,
    labels: LabelSpace,
    pad_id: int,
    max_length: int,
    depths: Callable[[keras.Model], Mapping[str, int]] | None = None,
    preset: bool = False,
    identity: Mapping[str, Any] | None = None,
    checkpoint_dir: Path | str | None = None,
    log_dir: Path | str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Trains a model, and keeps the weights of the epoch that is best on the eval rows.

    A run that was killed continues from the last checkpoint in `checkpoint_dir` and, on the same machine, ends with
    the same weights as one that was not. Removing that folder afterwards is the caller's choice.

    Args:
        make_model: builds it; called inside the strategy's scope after seeding, and perhaps once more.
        train, evaluation: targets of a regression are in the answers' own unit; the model learns standardized ones.
        depths: model to variable path to depth, for layer-wise learning rates.
        preset: the model is pretrained, which decides the default epochs and learning rate.
        identity: JSON values that decide what `make_model` makes; where they change, a checkpoint is not used.
        log_dir: for TensorBoard.

    Raises:
        TrainingError: rows that cannot be trained on, a loss that is not finite, a checkpoint that cannot be written.
    """
    check_rows(train, evaluation, labels, task, max_length)
    placement = place(config.strategy)
    if config.precision == "auto":
        config = config.model_copy(update={"precision": placement.precision})
    with _policy(config.precision):
        keras.utils.set_random_seed(config.seed)
        with placement.strategy.scope():
            model = make_model()
            _adapt(model, train)
        lora = any("lora" in variable.name for variable in model.trainable_variables)
        config = resolve_defaults(config, preset=preset, lora=lora)
        run = _Run(model, train, evaluation, task, config, labels, placement, pad_id, max_length, depths, on_progress)
        report = run.run(checkpoint_dir, log_dir, identity or {})
    if placement.replicas > 1 or placement.name != "none" or config.precision != "float32":
        model = _plain_copy(make_model, model)
    return Trained(model, report)


def _adapt(model: keras.Model, rows: TokenRows) -> None:
    """Shows the training rows to the layers that learn of them by other ways than gradients."""
    for layer in model._flatten_layers():
        if isinstance(layer, Bigrams):
            layer.adapt(np.asarray(rows.token_ids), np.asarray(rows.offsets[:-1]))


class _Run:
    """One training: what it is made of, and where it stands."""

    def __init__(
        self,
        model: keras.Model,
        train: TokenRows,
        evaluation: TokenRows,
        task: TaskConfig,
        config: TrainConfig,
        labels: LabelSpace,
        placement: Placement,
        pad_id: int,
        max_length: int,
        depths: Callable[[keras.Model], Mapping[str, int]] | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.model, self.task, self.config, self.labels, self.placement = model, task, config, labels, placement
        self.on_progress = on_progress or (lambda progress: None)
        self.epochs = int(config.epochs or 1)
        longest = int(max(train.lengths.max(), evaluation.lengths.max()))
        self.buckets = choose_buckets(train.lengths, limit=max_length, longest=longest, epochs=self.epochs)
        shared: dict[str, Any] = {"buckets": self.buckets, "pad_id": pad_id, "multiple": placement.replicas}
        self.batches = Batches(train, batch_size=config.batch_size, seed=config.seed, **shared)
        self.evaluation = Batches(evaluation, batch_size=2 * config.batch_size, **shared)
        self.steps_per_epoch = math.ceil(len(self.batches) / config.accumulate)
        self.steps = self.steps_per_epoch * self.epochs
        self.weights = label_weights(task, config, labels)
        self.metric = metrics.deciding_metric(task, config.metric)
        with placement.strategy.scope():
            by_path = depths(model) if depths is not None else None
            self.optimizer = make_optimizer(model, config, steps=self.steps, depths=by_path)
        loss = row_loss(task, config, labels)
        self.step = TrainStep(model, self.optimizer, loss, placement, xla=config.xla, accumulate=config.accumulate)
        self.predictor = Predictor(model, placement, xla=config.xla)
        self.position, self.pace = _Position(), _Pace()
        self.started = time.perf_counter()
        self.unread: list[StepResult] = []

    def run(
        self, checkpoint_dir: Path | str | None, log_dir: Path | str | None, identity: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Trains to the end; returns the report."""
        self.checkpoints = Checkpoints(checkpoint_dir, self._fingerprint(identity) if checkpoint_dir else "")
        self.board = Board(log_dir)
        variables = [*self.model.trainable_variables, *self.optimizer.variables]
        with self.placement.strategy.scope():
            restored = self.checkpoints.load(variables)
        if restored.state is not None:
            self.position = _Position(**restored.state)
            logger.info("training continues at step %d of %d", self.position.total_steps, self.steps)
        resumed_at = self.position.total_steps if restored.state is not None else None
        before = self.position.seconds
        while self.position.epoch < self.epochs and not self._has_stalled():
            self._epoch(lambda: self._save(variables, before))
        with self.placement.strategy.scope():
            self.checkpoints.restore_best(self.model.trainable_variables)
        self.board.close()
        self.position.seconds = before + time.perf_counter() - self.started
        return self._report(resumed_at, restored.why_anew)

    def _epoch(self, save: Callable[[], None]) -> None:
        here, size = self.position, self.config.accumulate
        traces = self.step.traces + self.predictor.traces
        order = self.batches.order(here.epoch)
        for step in range(here.step, self.steps_per_epoch):
            self._step(order[step * size : (step + 1) * size])
            here.step += 1
            here.total_steps += 1
            due = here.total_steps % self.config.checkpoint_steps == 0 and here.step < self.steps_per_epoch
            if due or here.step == self.steps_per_epoch or here.step % _STEPS_BETWEEN_READS == 0:
                self._read()
            if due:
                save()
        with averaged(self.optimizer, self.model.trainable_variables, self.placement.strategy):
            evaluation = self._evaluate()
            self._close_epoch(evaluation, self.step.traces + self.predictor.traces - traces)
        save()

    def _step(self, group: Sequence[np.ndarray]) -> None:
        began, traces = time.perf_counter(), self.step.traces
        batches = [self.batches.make(rows) for rows in group]
        if self.task.type == "regression":
            batches = [_standardized(batch, self.labels) for batch in batches]
        weights = [row_weights(batch.targets, len(batch.rows), self.task, self.weights) for batch in batches]
        with explained(self.config):
            self.unread.append(self.step(batches, weights, self.position.total_steps))
        if self.step.traces == traces:
            self.pace.seconds += time.perf_counter() - began
            self.pace.tokens += sum(batch.tokens for batch in batches)
            self.pace.padded += sum(batch.features["token_ids"].size for batch in batches)

    def _read(self) -> None:
        """Reads the losses of the last steps, and stops where one is not finite."""
        began, here = time.perf_counter(), self.position
        first = here.total_steps - len(self.unread) + 1
        for number, result in enumerate(self.unread, start=first):
            loss, rate = float(result.loss), float(result.learning_rate)
            if not math.isfinite(loss):
                raise not_finite(loss, number, self.steps, rate, self.config)
            here.loss_sum += loss
        last = self.unread[-1]
        self.pace.seconds += time.perf_counter() - began
        scalars = {
            "loss": float(last.loss),
            "learning_rate": float(last.learning_rate),
            "gradient_norm": float(last.gradient_norm),
            "tokens_per_second": self.pace.rate(),
        }
        self.board.write("train", scalars, here.total_steps)
        self.unread = []
        self._tell(here.loss_sum / here.step)

    def _evaluate(self) -> dict[str, float]:
        rows = self.evaluation.rows
        logits = np.empty((len(rows), self.labels.outputs), np.float32)
        for batch in self.evaluation.by_length():
            with explained(self.config):
                logits[batch.rows] = self.predictor(batch.features)[: len(batch.rows)]
        return metrics.compute(logits, np.asarray(rows.targets), self.task, self.labels)

    def _close_epoch(self, evaluation: dict[str, float], traces: int) -> None:
        here = self.position
        value = evaluation[self.metric]
        loss = here.loss_sum / here.step
        here.epoch, here.step, here.loss_sum = here.epoch + 1, 0, 0.0
        here.history.append({"epoch": here.epoch, "train_loss": loss, "traces": traces, **evaluation})
        if metrics.is_better(self.metric, value, here.best_value):
            here.best_epoch, here.best_value = here.epoch, value
            self.checkpoints.keep_best(self.model.trainable_variables, here.epoch)
        self.board.write("eval", evaluation, here.epoch)
        self._tell(loss, evaluation)

    def _has_stalled(self) -> bool:
        here, patience = self.position, self.config.early_stopping
        return patience is not None and here.best_epoch is not None and here.epoch - here.best_epoch >= patience

    def _save(self, variables: Sequence[Any], before: float) -> None:
        self.position.seconds = before + time.perf_counter() - self.started
        self.checkpoints.save(variables, asdict(self.position))
        self.board.flush()

    def _tell(self, loss: float, evaluation: Mapping[str, float] | None = None) -> None:
        here = self.position
        epoch = here.epoch if evaluation is not None else here.epoch + 1
        self.on_progress(Progress(epoch, self.epochs, here.total_steps, self.steps, loss, self.pace.rate(), evaluation))

    def _fingerprint(self, identity: Mapping[str, Any]) -> str:
        return fingerprint(
            {
                "task": self.task.model_dump(mode="json"),
                "train": self.config.model_dump(mode="json", exclude={"checkpoint_steps"}),
                "labels": asdict(self.labels),
                "rows": [self.batches.rows.checksum, self.evaluation.rows.checksum],
                "model": dict(identity),
                "weights": [[v.path, bool(v.trainable), zlib.crc32(v.numpy().tobytes())] for v in self.model.weights],
                "batches": [list(self.buckets), self.batches.pad_id, self.placement.name, self.placement.replicas],
                "versions": [tf.__version__, keras.__version__, runtime.onednn_state()],
            }
        )

    def _report(self, resumed_at: int | None, why_anew: str) -> dict[str, Any]:
        here, rows = self.position, self.batches.rows
        return {
            "strategy": self.placement.name,
            "replicas": self.placement.replicas,
            "devices": list(self.placement.devices),
            "xla": self.config.xla or self.placement.compiles_by_itself,
            "onednn": runtime.onednn_state(),
            "precision": self.config.precision,
            "seed": self.config.seed,
            "config": self.config.model_dump(mode="json"),
            "rows": {"train": len(rows), "eval": len(self.evaluation.rows)},
            "dropped_rows": {"train": rows.dropped, "eval": self.evaluation.rows.dropped},
            "parameters": count_parameters(self.model),
            "buckets": list(self.buckets),
            "steps": here.total_steps,
            "steps_planned": self.steps,
            "epochs": here.epoch,
            "stopped_early": here.epoch < self.epochs,
            "metric": self.metric,
            "best_epoch": here.best_epoch,
            "best_value": here.best_value,
            "history": here.history,
            "traces": {"train": self.step.traces, "eval": self.predictor.traces},
            "resumed_at_step": resumed_at,
            "started_anew_because": why_anew,
            "seconds": here.seconds,
            "tokens_per_second": self.pace.rate(),
            "padded_tokens_per_second": self.pace.rate(padded=True),
            "peak_memory_mb": peak_memory_mb(),
            "peak_device_memory_mb": peak_device_memory_mb(),
        }


def _standardized(batch: Any, labels: LabelSpace) -> Any:
    targets = ((batch.targets - labels.mean) / labels.std).astype(np.float32)
    return type(batch)(batch.features, targets, batch.rows, batch.tokens)


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)


def _plain_copy(make_model: Callable[[], keras.Model], model: keras.Model) -> keras.Model:
    """The same weights in a model that computes in float32 and belongs to no strategy, so that it can be exported."""
    with _policy("float32"):
        plain = make_model()
    for target, source in zip(plain.weights, model.weights, strict=True):
        target.assign(source.numpy())
    return plain
