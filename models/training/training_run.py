"""Training a model: devices, precision and defaults around the loop, and exact resumption."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.config import TaskConfig, TrainConfig
from models.network.token_features import BigramRows
from models.training.loop import Loop
from models.training.optimizer import resolve_defaults
from models.training.progress import Progress
from models.training.resuming.checkpoint import Checkpoints
from models.training.strategy import make_strategy
from models.training.token_rows import TokenRows
from models.training.training_checks import check_rows
from models.training.training_report import describe
from tflite.host.labels import LabelSpace


@dataclass(frozen=True)
class Trained:
    """A trained model: float32, outside any strategy, with the best epoch's weights; and a report of JSON values.

    `checkpoints` still holds the whole training: `checkpoints.remove()` once the model is safe elsewhere.
    """

    model: keras.Model
    report: dict[str, Any]
    checkpoints: Checkpoints


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
    on_note: Callable[[str], None] | None = None,
) -> Trained:
    """Trains a model, and keeps the weights of the epoch that is best on the eval rows.

    A run that was killed continues from its last checkpoint in `checkpoint_dir` and, on the same machine, ends with
    the same weights as one that was not. A checkpoint is written every half a minute (more rarely where that would take
    over 2% of the time), after every `config.checkpoint_steps`, at the end, and when SIGINT, SIGTERM or SIGHUP ends
    the training. Trainings that differ in anything that decides their result have folders of their own there.

    Args:
        make_model: builds it; called inside the strategy's scope after seeding, and perhaps once more.
        train, evaluation: targets of a regression are in the answers' own unit; the model learns standardized ones.
        depths: model to variable path to depth, for layer-wise learning rates.
        preset: the model is pretrained, which decides the default epochs and learning rate.
        identity: named JSON values that decide the result besides what is given here ("model": its settings, "code");
            where they change, a checkpoint is not used.
        log_dir: for TensorBoard.
        on_note: is told, in a sentence, that training continues or starts anew and why, and what is wrong with
            checkpoints.

    Raises:
        TrainingError: rows that cannot be trained on, a loss that is not finite, a checkpoint folder that cannot be
            written.
        Interrupted: a signal asked for an end; a checkpoint keeps what was done.
    """
    check_rows(train, evaluation, labels, task, max_length)
    placement = make_strategy(config.strategy)
    if config.precision == "auto":
        config = config.model_copy(update={"precision": placement.precision})
    with _policy(config.precision):
        keras.utils.set_random_seed(config.seed)
        with placement.strategy.scope():
            model = make_model()
            _adapt(model, train)
        lora = any("lora" in variable.name for variable in model.trainable_variables)
        loop = Loop(
            model,
            train,
            evaluation,
            task=task,
            config=resolve_defaults(config, preset=preset, lora=lora),
            labels=labels,
            placement=placement,
            pad_id=pad_id,
            max_length=max_length,
            depths=depths,
            on_progress=on_progress,
            on_note=on_note,
        )
        loop.run(checkpoint_dir, log_dir, identity or {})
        report = describe(loop)
    if placement.replicas > 1 or placement.name != "none" or config.precision != "float32":
        model = _plain_copy(make_model, model)
    return Trained(model, report, loop.checkpoints)


def _adapt(model: keras.Model, rows: TokenRows) -> None:
    """Shows the training rows to the layers that learn of them by other ways than gradients."""
    for layer in model._flatten_layers():
        if isinstance(layer, BigramRows):
            layer.adapt(np.asarray(rows.token_ids), np.asarray(rows.offsets[:-1]))


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
