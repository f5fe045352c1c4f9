"""A training of a few steps that is checked after every layer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.config import ModelsConfig, PresetConfig
from models.training.inspection.checked_step import CheckedStep
from models.training.inspection.some_steps import first_steps, weights_of
from models.training.inspection.watched_layers import eager
from models.training.training_checks import explain_step_errors
from models.training.training_request import Request


@dataclass(frozen=True)
class DebugStep:
    """A step in which everything was finite.

    Attributes:
        step: from 1.
        gradient_norm: of all gradients together, before clipping; infinite in a step that a loss scale leaves out.
        largest_output, largest_output_of: the largest number that a layer gave, without its sign, and that layer.
        largest_weight, largest_weight_of: the same of the weights that are trained, after the update.
    """

    step: int
    rows: int
    loss: float
    gradient_norm: float
    learning_rate: float
    largest_output: float
    largest_output_of: str
    largest_weight: float
    largest_weight_of: str
    seconds: float


def debugged(config: ModelsConfig) -> tuple[ModelsConfig, list[str]]:
    """The settings of a debug run, and what they leave out of those of the project, a sentence each."""
    train, notes = config.train, list[str]()
    if train.backend != "tensorflow":
        notes.append(f"train.backend is {train.backend}; the debug run trains the same model on TensorFlow")
    if (train.devices or 1) > 1 or train.strategy in ("mirrored", "tpu"):
        notes.append("one device trains, whatever train.devices and train.strategy say")
    if isinstance(config.model, PresetConfig) and (train.contrastive != "off" or config.task.text_pair is not None):
        notes.append("what may precede a preset's first step is left out: pairs of rows, the start of the head")
    changes: dict[str, Any] = {
        "backend": "tensorflow",
        "strategy": "none",
        "devices": None,
        "shards": 1,
        "xla": False,
        "contrastive": "off",
    }
    update: dict[str, Any] = {"train": train.model_copy(update=changes)}
    if isinstance(config.model, PresetConfig):  # there, the linear part does not see the training
        update["model"] = config.model.model_copy(update={"linear_rows": 0})
    return config.model_copy(update=update), notes


def debug(
    request: Request, steps: int, *, on_note: Callable[[str], None], on_step: Callable[[DebugStep], None]
) -> None:
    """Takes the first steps of a training eagerly, in this process.

    Args:
        request: with the settings of `debugged`, and without folders for checkpoints and logs.
        on_note: receives sentences for the user.
        on_step: receives each step.

    Raises:
        NotFiniteError: at the first thing that is not finite.
        TrainingError: rows that cannot be trained on, or too little memory.
    """
    with eager(), request.prepare(on_note) as ready:
        loop, step = ready.loop, CheckedStep(ready.loop)
        step.check_weights()
        for number, batches in enumerate(first_steps(loop, steps)):
            began = time.perf_counter()
            with explain_step_errors(loop.config):
                result = step(batches, weights_of(loop, batches), number)
            on_step(
                DebugStep(
                    step=number + 1,
                    rows=sum(len(batch.rows) for batch in batches),
                    loss=float(result.loss),
                    gradient_norm=float(result.gradient_norm),
                    learning_rate=float(result.learning_rate),
                    largest_output=step.outputs.value,
                    largest_output_of=step.outputs.where,
                    largest_weight=step.largest_weight.value,
                    largest_weight_of=step.largest_weight.where,
                    seconds=time.perf_counter() - began,
                )
            )
