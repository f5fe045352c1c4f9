"""The training loop: epochs of steps, evaluation, the best epoch, early stopping, checkpoints."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models import calibration
from models.config import TaskConfig
from models.errors import Interrupted
from models.network.packed import packed_model, packing_needs
from models.training import eval_metrics, fusion
from models.training.batches import Batch, one_ahead, standardized
from models.training.frameworks.contract import StepResult, make_predictor, make_step
from models.training.frameworks.devices import TrainingDevices
from models.training.fusion import Fusion
from models.training.loss import label_weights, row_loss, row_weights
from models.training.optimizer import make_optimizer, moving_averages, with_moving_averages
from models.training.packed.packed_batches import PackedBatches
from models.training.progress import Pace, Position, Progress
from models.training.resuming.checkpoint import Checkpoints
from models.training.resuming.resume_key import training_key
from models.training.resuming.stopping import StopRequest, StopRequested, stoppable, time_limit
from models.training.start.linear_fit import LinearLogits, raise_if_failed, wait_for
from models.training.token_rows import TokenRows
from models.training.training_checks import eval_loss_not_finite, explain_step_errors, loss_not_finite
from models.training.training_report import TensorBoardWriter, describe_interruption
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

# Reading a loss waits for the device, so losses are read in groups.
_STEPS_BETWEEN_READS = 10
# How long a person or a cluster that ends the training waits for the last checkpoint.
_SECONDS_TO_SAVE = 20.0


class Loop:
    """One training: its parts and its position.

    Args:
        model: made in the scope of the devices' strategy.
        config: what `resolve_defaults` returned.
        linear: the fit of the linear model, which may still be going on.
        depths: model to variable path to depth, for layer-wise learning rates.
        calibrate: whether to fit temperatures; the result is in `calibration` after `run`.
        program_key: see `models.training.frameworks.contract.make_step`.
        on_progress, on_note: receive the progress, and sentences for the user.
    """

    def __init__(
        self,
        model: keras.Model,
        train: TokenRows,
        evaluation: TokenRows,
        *,
        task: TaskConfig,
        config: TrainConfig,
        labels: LabelSpace,
        devices: TrainingDevices,
        pad_id: int,
        linear: Future[LinearLogits],
        depths: Callable[[keras.Model], Mapping[str, int]] | None,
        calibrate: bool,
        program_key: str | None,
        on_progress: Callable[[Progress], None] | None,
        on_note: Callable[[str], None] | None,
    ) -> None:
        self.model, self.task, self.config, self.labels, self.devices = model, task, config, labels, devices
        self.on_progress = on_progress or (lambda progress: None)
        self.on_note = on_note or (lambda text: None)
        self.epochs = int(config.epochs or 1)
        shared: dict[str, Any] = {"pad_id": pad_id, "needs": packing_needs(model), **devices.packing}
        self.batches = PackedBatches(train, batch_size=config.batch_size, seed=config.seed, **shared)
        self.evaluation = PackedBatches(evaluation, batch_size=2 * config.batch_size, **shared)
        self.steps_per_epoch = math.ceil(len(self.batches) / config.accumulate)
        self.steps = self.steps_per_epoch * self.epochs
        self.weights = label_weights(task, config, labels)
        self.metric = eval_metrics.deciding_metric(task, config, stacked=train.base_logits is not None)
        self.targets, self.linear = np.asarray(evaluation.targets), linear
        self.fitting: dict[str, Any] = {"calibrate": calibrate, "metric": self.metric}
        with devices.scope():
            by_path = depths(model) if depths is not None else None
            self.optimizer = make_optimizer(model, config, steps=self.steps, depths=by_path)
            self.network = packed_model(model, remat=config.remat)
        self.variables = [*model.trainable_variables, *self.optimizer.variables]
        self.loss = row_loss(task, config, labels)
        compiled: dict[str, Any] = {"xla": config.xla, "key": program_key and f"{program_key} {config.precision}"}
        self.step = make_step(
            model, self.optimizer, self.loss, devices, network=self.network, accumulate=config.accumulate, **compiled
        )
        self.predictor = make_predictor(self.network, devices, **compiled)
        self.position, self.pace, self.stop = Position(), Pace(), StopRequest()
        self.unread: list[StepResult] = []
        self.prepare: Callable[[StopRequest], None] | None = None  # before step 1; notes its report in `position`
        self.preparing = ""  # what `prepare` does, as a noun
        self.best_logits: np.ndarray | None = None  # [N, C], of the eval rows
        self.fusion: Fusion | None = None  # of the best epoch
        self.resumed_at: int | None = None
        self.first_step_seconds: float | None = None  # of this process, from the start of `run`: mostly compilation
        self.restart_reason = ""

    def run(self, checkpoint_dir: Path | str | None, log_dir: Path | str | None, given_key: Mapping[str, Any]) -> None:
        """Trains to the end, or until a signal asks to stop.

        Raises:
            Interrupted: after such a signal; says what a checkpoint keeps.
        """
        resume_key = training_key(self, given_key) if checkpoint_dir is not None else {}
        self.checkpoints = Checkpoints(checkpoint_dir, resume_key, self.on_note)
        self.board = TensorBoardWriter(log_dir)
        with self.checkpoints.open(), contextlib.closing(self.board), stoppable() as self.stop:
            self.stop.agree = self.devices.group.any
            self._resume()
            self.before, self.started = self.position.seconds, time.perf_counter()
            start = (self.position.epoch, self.position.step)
            try:
                if self.prepare is not None and self.resumed_at is None:
                    wait_for(self.linear, self.stop.check)  # it sets BLAS's threads, which are the process's, too
                    self.prepare(self.stop)
                    self.devices.group.synchronize(self.variables)
                    self._save()
                while self.position.epoch < self.epochs and not self.has_stalled():
                    self._epoch()
                if (self.position.epoch, self.position.step) != start and self.checkpoints.worthwhile():
                    self._save()
                with self.devices.scope():
                    self.checkpoints.restore_best(self.model.trainable_variables)
                    self.devices.group.synchronize(self.model.trainable_variables)
                    if self.best_logits is None:  # the best epoch was trained before the training was resumed
                        self.best_logits, self.fusion = self._fuse(self._predict_eval())
                    self.stop.check()
                    if self.fusion is not None:
                        fusion.install(self.model, self.fusion)
            except StopRequested as request:
                raise self._interrupted() from request
        self.calibration = calibration.fit(
            self.best_logits, self.targets, self.task, self.labels.labels, **self.fitting
        )
        self.position.seconds = self.before + time.perf_counter() - self.started

    def _resume(self) -> None:
        with self.devices.scope():
            restored = self.devices.group.from_first(self.checkpoints.load(self.variables))
            self.devices.group.synchronize(self.variables)
        if restored.state is not None:
            self.position = Position(**restored.state)
            self.resumed_at = self.position.total_steps
            where = f"after step {self.resumed_at} of {self.steps}"
            self.on_note(f"training continues {where}, from a checkpoint of {restored.when}")
        elif restored.restart_reason:
            self.restart_reason = restored.restart_reason
            self.on_note(f"training starts at step 1 of {self.steps}: {restored.restart_reason}")

    def _epoch(self) -> None:
        position, size = self.position, self.config.accumulate
        traces = self.step.traces + self.predictor.traces
        order = self.batches.order(position.epoch)
        starts, waiting = range(position.step * size, len(order), size), time.perf_counter()
        for batches in one_ahead(self.make_batches(order[start : start + size]) for start in starts):
            self.stop.check()
            self._step(batches, time.perf_counter() - waiting)
            position.step += 1
            position.total_steps += 1
            due = self._is_checkpoint_due()
            noted = position.step in (1, self.steps_per_epoch) or position.step % _STEPS_BETWEEN_READS == 0
            if due or noted or self.pace.is_report_due():
                raise_if_failed(self.linear)
                self._read()
            if due:
                self._save()
            waiting = time.perf_counter()
        with with_moving_averages(self.optimizer, self.model.trainable_variables, self.devices):
            logits = self._predict_eval()
            self._close_epoch(logits, self.step.traces + self.predictor.traces - traces)
        if position.total_steps < self.steps and self.checkpoints.due():
            self._save()

    def _is_checkpoint_due(self) -> bool:
        every = self.config.checkpoint_steps
        return self.checkpoints.due() or (every is not None and self.position.total_steps % every == 0)

    def make_batches(self, group: Sequence[np.ndarray]) -> list[Batch]:
        """The batches of one optimizer step, from the rows of each."""
        batches = [batch for rows in group for batch in self.batches.make_batches(rows)]
        if self.task.type == "regression":
            batches = [standardized(batch, self.labels.mean, self.labels.std) for batch in batches]
        return batches

    def _step(self, batches: Sequence[Batch], waited: float) -> None:
        """Takes an optimizer step; `waited`: seconds for the batches."""
        began, traces = time.perf_counter(), self.step.traces
        weights = [row_weights(batch.targets, len(batch.rows), self.task, self.weights) for batch in batches]
        with explain_step_errors(self.config):
            self.unread.append(self.step(batches, weights, self.position.total_steps))
        if self.step.traces == traces:
            self.pace.seconds += waited + time.perf_counter() - began
            self.pace.steps += 1
            self.pace.tokens += sum(batch.tokens for batch in batches)
            self.pace.padded += sum(batch.features["token_ids"].size for batch in batches)

    def _read(self) -> None:
        """Reads the losses of the last steps; raises TrainingError if one is not finite."""
        if not self.unread:
            return
        began, position = time.perf_counter(), self.position
        for number, result in enumerate(self.unread, start=position.total_steps - len(self.unread) + 1):
            with explain_step_errors(self.config):  # a device may compute the step only now
                loss, rate = float(result.loss), float(result.learning_rate)
            if not math.isfinite(loss):
                raise loss_not_finite(loss, number, self.steps, rate, self.config)
            position.loss_sum += loss
        self.first_step_seconds = self.first_step_seconds or time.perf_counter() - self.started
        last = self.unread[-1]
        if self.pace.steps:
            self.pace.seconds += time.perf_counter() - began
        scalars = {
            "loss": float(last.loss),
            "learning_rate": float(last.learning_rate),
            "gradient_norm": float(last.gradient_norm),
            "tokens_per_second": self.pace.rate(),
        }
        self.board.write("train", scalars, position.total_steps)
        self.unread = []
        self._report_progress(position.mean_loss)

    def _predict_eval(self) -> np.ndarray:
        """The encoder's logits of the eval rows, [N, C], without the linear model's.

        A stop request meanwhile leaves the epoch open, to be evaluated later.
        """
        began, rows, traces = time.perf_counter(), self.evaluation.rows, self.predictor.traces
        logits, done = np.empty((len(rows), self.labels.outputs), np.float32), 0
        for batch in one_ahead(self.evaluation.all_rows()):
            self.stop.check()
            with explain_step_errors(self.config):
                logits[batch.rows] = self.predictor(batch.features)[: len(batch.rows)]
            done += len(batch.rows)
            if self.pace.is_report_due():
                self._report_progress(self.position.mean_loss, evaluated=done / len(rows))
        if self.predictor.traces == traces or not self.pace.evaluation:
            self.pace.evaluation = time.perf_counter() - began
        return logits

    def _fuse(self, encoder: np.ndarray) -> tuple[np.ndarray, Fusion | None]:
        """The eval logits as the finished model gives them, and how it adds the linear model's."""
        linear, default = wait_for(self.linear, self.stop.check), float(self.batches.rows.base_logits is not None)
        fixed: dict[str, Any] = {"task": self.task, "labels": self.labels, "default": default}
        return fusion.fuse(encoder, linear.evaluation, self.targets, **fixed)

    def _close_epoch(self, logits: np.ndarray, traces: int) -> None:
        position, (logits, fused) = self.position, self._fuse(logits)
        evaluation = eval_metrics.compute(logits, self.targets, self.task, self.labels, **self.fitting)
        loss = position.mean_loss
        if not math.isfinite(evaluation["loss"]):
            raise eval_loss_not_finite(evaluation["loss"], position.epoch + 1)
        position.epoch, position.step, position.loss_sum = position.epoch + 1, 0, 0.0
        position.history.append({"epoch": position.epoch, "train_loss": loss, "traces": traces, **evaluation})
        if eval_metrics.is_better(self.metric, evaluation, position.best):
            position.best_epoch = position.epoch
            self.best_logits, self.fusion = logits, fused
            final = position.epoch == self.epochs and not moving_averages(self.optimizer)
            self.checkpoints.keep_best(self.model.trainable_variables, final=final)
        self.board.write("eval", evaluation, position.epoch)
        self._report_progress(loss, evaluation)

    def has_stalled(self) -> bool:
        patience = self.config.early_stopping
        return patience is not None and self.position.epochs_without_gain(self.metric) >= patience

    def _save(self, last: bool = False) -> bool:
        self.position.seconds = self.before + time.perf_counter() - self.started
        self.board.flush()
        return self.checkpoints.save(self.variables, asdict(self.position), last=last)

    def _interrupted(self) -> Interrupted:
        """Writes a last checkpoint in bounded time; returns what is kept, what is lost, and what comes next."""
        done, work = self.position.total_steps, self.checkpoints.unsaved_seconds
        if done:
            self._read()
            with contextlib.suppress(TimeoutError), time_limit(_SECONDS_TO_SAVE):
                self._save(last=True)
        return describe_interruption(self, work)

    def _report_progress(
        self, loss: float, evaluation: Mapping[str, float] | None = None, evaluated: float | None = None
    ) -> None:
        position = self.position
        epoch = position.epoch + (position.step > 0)
        left = self.pace.seconds_left(self.steps - position.total_steps, self.epochs - position.epoch)
        steps, rate = (position.total_steps, self.steps), self.pace.rate()
        self.on_progress(Progress(epoch, self.epochs, *steps, loss, rate, left, evaluated, evaluation))
