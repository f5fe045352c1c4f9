"""Trains a model: devices, precision and defaults around the loop, and exact resumption."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models import heap
from models.config import TaskConfig
from models.network.precision import compute_in_float32
from models.network.token_features import BigramRows
from models.training.frameworks.devices import TrainingDevices, choose_devices
from models.training.loop import Loop
from models.training.loss import label_weights
from models.training.optimizer import resolve_defaults
from models.training.progress import Progress
from models.training.resuming.checkpoint import KeptCheckpoint
from models.training.resuming.resume_key import weights_key
from models.training.resuming.stopping import StopRequest
from models.training.start.contrastive import ContrastivePlan, plan_tuning, tune
from models.training.start.head_start import start_head, starts_with_head
from models.training.start.linear_fit import fit_linear
from models.training.token_rows import TokenRows
from models.training.training_checks import check_rows
from models.training.training_report import describe_end, describe_start, make_report
from models.training.variables.frozen_weights import HalvedWeights
from models.training.variables.used_tokens import count_vectors, give_back, keep_used, used_tokens
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


@dataclass(frozen=True)
class TrainedModel:
    """A model with the best epoch's weights and the linear model weighed, and a report of JSON values.

    `labels` has the model's temperatures, and `task` the number that `task.threshold: auto` came to.
    `checkpoint` still holds the whole training: remove it once the model is safe elsewhere.
    """

    model: keras.Model
    report: dict[str, Any]
    checkpoint: KeptCheckpoint
    labels: LabelSpace
    task: TaskConfig


def plain(trained: TrainedModel, make_model: Callable[[], keras.Model]) -> TrainedModel:
    """The same with a model in float32 and outside any strategy, so that it can be exported.

    Without a strategy it is the same model, which then computes in float32.
    """
    if trained.report["strategy"] == "none":
        compute_in_float32(trained.model)
        return trained
    with _policy("float32"):
        model = make_model()
    _copy_weights(trained.model, model)
    return replace(trained, model=model)


@dataclass(frozen=True)
class PreparedTraining:
    """A training before its first step.

    Attributes:
        chosen: for the report, why each setting that was `auto` is what it is.
        key: of the tokenizer and the first weights, for checkpoints; empty if there are none.
    """

    loop: Loop
    halved: HalvedWeights
    chosen: dict[str, str]
    key: dict[str, Any]


def train(
    make_model: Callable[[], keras.Model],
    train: TokenRows,
    evaluation: TokenRows,
    *,
    resume_key: Mapping[str, Any] | None = None,
    checkpoint_dir: Path | str | None = None,
    log_dir: Path | str | None = None,
    **settings: Any,
) -> TrainedModel:
    """Trains a model and keeps the weights of the epoch that is best on the eval rows.

    A killed run continues from its last checkpoint in `checkpoint_dir` and, on the same machine, ends with the same
    weights as an uninterrupted one (with XLA within rounding, if only one of them had the room for
    `models.training.variables.frozen_weights`). A checkpoint is written every half minute (less often if that would
    take over 2% of the time), after every `config.checkpoint_steps`, at the end unless the last one is less than half a
    minute old, and when SIGINT, SIGTERM or SIGHUP ends the training. Trainings whose results may differ have separate
    folders there.

    Args:
        resume_key: further named JSON values that decide the result ("model": its settings, "code"); if they change, a
            checkpoint is not used.
        log_dir: of the TensorBoard files.
        settings: and all others: see `prepared_training`.

    Raises:
        TrainingError: rows that cannot be trained on, a loss that is not finite, or a checkpoint folder that is not
            writable.
        Interrupted: a signal ended the training; a checkpoint keeps its state.
    """
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    with prepared_training(make_model, train, evaluation, checkpoint_dir=folder, **settings) as ready:
        loop, devices = ready.loop, ready.loop.devices
        heap.give_back()  # earlier steps, and making the model, took more than is left of them
        with devices.running():
            loop.run(checkpoint_dir, log_dir, {**(resume_key or {}), **ready.key})
        for note in (describe_end(loop), *loop.calibration.notes):
            loop.on_note(note)
        vectors = count_vectors(loop.model)
        heap.trim()  # the free memory is in pieces, into which the table of all tokens would not fit
        with devices.scope():
            give_back(loop.model)
            ready.halved.restore()
        report = make_report(loop) | ready.chosen | {"token_vectors": vectors}
    labels = replace(loop.labels, temperatures=loop.calibration.temperatures)
    task = loop.task.model_copy(update={"threshold": loop.calibration.threshold})
    return TrainedModel(loop.model, report, loop.checkpoints.kept, labels, task)


@contextlib.contextmanager
def prepared_training(
    make_model: Callable[[], keras.Model],
    train: TokenRows,
    evaluation: TokenRows,
    *,
    task: TaskConfig,
    config: TrainConfig,
    labels: LabelSpace,
    tokenizer: Tokenizer,
    depths: Callable[[keras.Model], Mapping[str, int]] | None = None,
    preset: bool = False,
    calibrate: bool = True,
    program_key: str | None = None,
    checkpoint_dir: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[PreparedTraining]:
    """A training with its model, in whose precision the block runs.

    Args:
        make_model: builds the model; called in the strategy's scope after seeding, and possibly once more.
        train, evaluation: targets of a regression are in their own unit; the model learns standardized ones.
        depths: model to variable path to depth, for layer-wise learning rates.
        preset: whether the model is pretrained, which decides the default epochs and learning rate.
        calibrate: fit temperatures on the eval rows (`models.calibration`).
        program_key: see `models.training.frameworks.contract.make_step`.
        checkpoint_dir: for weights that are set aside, and whether `PreparedTraining.key` is needed.
        on_note: receives sentences: whether training continues or starts afresh, what could not be calibrated.

    Raises:
        TrainingError: rows that cannot be trained on.
    """
    check_rows(train, evaluation, labels, task, tokenizer.max_length)
    devices = choose_devices(config)
    if config.strategy == "mirrored" and devices.strategy_name == "none" and on_note is not None:
        on_note("train.strategy is mirrored, but there is one device; a CPU is several with train.devices")
    config, chosen = _choose(config, devices, preset=preset)
    if preset:
        used = used_tokens((train, evaluation), tokenizer.special_ids)
        folder = checkpoint_dir if devices.strategy_name == "none" else None
        make_model = partial(_with_used_tokens, make_model, used, folder)
    with _policy(config.precision):
        keras.utils.set_random_seed(config.seed)
        with devices.scope():
            model = make_model()
            _choose_bigrams(model, train)
            # Before the linear part is fitted and weights are halved.
            key = {} if checkpoint_dir is None else {"tokenizer": tokenizer.digest(), **weights_key(model)}
            linear = fit_linear(
                model,
                train,
                evaluation,
                task=task,
                labels=labels,
                tokenizer=tokenizer,
                label_weights=label_weights(task, config, labels),
                stacked=not preset,
                # A preset's training does not need it before the first evaluation.
                in_background=preset and devices.strategy_name == "none",
                on_note=on_note,
            )
            if not preset:
                train = replace(train, base_logits=linear.result().unseen)
            halved = HalvedWeights(model, checkpoint_dir)
        lora = any("lora" in variable.name for variable in model.trainable_variables)
        plan = plan_tuning(train, model, task=task, config=config, preset=preset and not lora)
        loop = Loop(
            model,
            train,
            evaluation,
            task=task,
            config=resolve_defaults(
                config,
                preset=preset,
                lora=lora,
                rows=len(train) if plan is None else None,
                two_texts=task.text_pair is not None,
            ),
            labels=labels,
            devices=devices,
            pad_id=tokenizer.pad_id,
            linear=linear,
            depths=depths,
            calibrate=calibrate,
            program_key=program_key,
            on_progress=on_progress,
            on_note=on_note,
        )
        if plan is not None:
            loop.prepare = partial(_tune, loop, plan, make_model, tokenizer, depths)
            loop.preparing = "the tuning on pairs of rows"
        elif starts_with_head(task, preset=preset):
            loop.prepare, loop.preparing = partial(start_head, loop), "the start of the head"
        loop.on_note(describe_start(loop, chosen))
        yield PreparedTraining(loop, halved, chosen, key)


def _choose(config: TrainConfig, devices: TrainingDevices, *, preset: bool) -> tuple[TrainConfig, dict[str, str]]:
    """The settings with `precision` and `xla` chosen where they are `auto`, and for the report, why."""
    why = {}
    if config.precision == "auto":
        precision, why["precision_because"] = devices.choose_precision(preset=preset)
        config = config.model_copy(update={"precision": precision})
    if config.backend != "tensorflow":  # others have no choice
        config = config.model_copy(update={"xla": False})
    elif config.xla == "auto":
        xla, why["xla_because"] = devices.choose_xla(preset=preset, precision=config.precision)
        config = config.model_copy(update={"xla": xla})
    return config, {name: f"auto: {reason}" for name, reason in why.items()}


def _choose_bigrams(model: keras.Model, rows: TokenRows) -> None:
    """Chooses the pairs of tokens that have a vector."""
    for layer in model._flatten_layers():
        if isinstance(layer, BigramRows):
            layer.adapt(np.asarray(rows.token_ids), np.asarray(rows.offsets[:-1]))


def _with_used_tokens(make_model: Callable[[], keras.Model], used: np.ndarray, folder: Path | None) -> keras.Model:
    model = make_model()
    keep_used(model, used, folder=folder)
    return model


def _tune(
    loop: Loop,
    plan: ContrastivePlan,
    make_model: Callable[[], keras.Model],
    tokenizer: Tokenizer,
    depths: Callable[[keras.Model], Mapping[str, int]] | None,
    stop: StopRequest,
) -> None:
    """Tunes the loop's model on pairs of rows; under a strategy, a copy of it on the default device."""
    loop.on_note(plan.describe())
    model, mirrored = loop.model, loop.devices.mirrors_variables
    if mirrored:
        model = make_model()
        _copy_weights(loop.model, model)
    loop.position.contrastive = tune(
        model,
        loop.batches.rows,
        plan,
        config=loop.config,
        depths=depths(model) if depths is not None else None,
        max_length=tokenizer.max_length,
        pad_id=tokenizer.pad_id,
        stop=stop,
        on_progress=loop.on_progress,
    )
    if mirrored:
        with loop.devices.scope():
            _copy_weights(model, loop.model)


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        ours.assign(theirs.numpy())
