"""What each framework offers to the training loop, and which one it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from models import runtime
from models.network.dropout import DRAWS_PER_CALL, is_seed
from models.training.batches import Batch, Features
from models.training.frameworks.devices import TrainingDevices
from models.training_config import Xla

# Most passes of one batch: a batch that does not fit its shape is passed in parts.
_MOST_PARTS = 64

RowLoss = Callable[[Any, Any], Any]
"""Targets and logits [B, C] float32 to the loss of each row, [B] float32."""


@dataclass(frozen=True)
class StepResult:
    """Scalars of one optimizer step, possibly not computed yet: the mean loss, the gradients' global norm before
    clipping, and the learning rate."""

    loss: Any
    gradient_norm: Any
    learning_rate: Any


class TrainStep(Protocol):
    """Runs optimizer steps of a model.

    Dropout's random numbers are a function of the seed, the step, the batch within it and the replica. So they need
    no stored state, and no two replicas drop the same units. Other state that a layer changes in its forward pass
    (the averages of a batch normalization) is not kept; the models here have none.
    """

    @property
    def traces(self) -> int:
        """How many shapes have been compiled or recorded, which takes longer than a step."""
        ...

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """Takes one optimizer step.

        Args:
            batches: 1 to `accumulate` batches, each of them perhaps in parts.
            weights: for each batch, the weights of its rows, [B]; the loss is the weighted mean over all batches.
            step: optimizer steps taken before.
        """
        ...


class Predictor(Protocol):
    """Computes logits of whole batches, over all replicas."""

    @property
    def traces(self) -> int:
        """As of `TrainStep`."""
        ...

    def __call__(self, features: Features) -> np.ndarray:
        """The logits, [B, C] float32."""
        ...


def make_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: RowLoss,
    devices: TrainingDevices,
    *,
    network: keras.Model | None = None,
    xla: Xla,
    accumulate: int = 1,
    key: str | None = None,
) -> TrainStep:
    """The step of the framework that Keras runs on.

    Args:
        model: its trainable variables learn; made in the devices' scope.
        optimizer: built for the model, made in that scope.
        network: dict of features to logits [B, C] float32, with the model's layers: its packed model; default: itself.
        xla: compile with XLA, where the framework offers a choice; "parts": only the operations between products.
        accumulate: most batches of one optimizer step.
        key: of all that decides the step, but for the variables and the batches: with it, the step's programs may be
            those of an earlier process (`models.compile_cache`), where the framework can keep them.
    """
    options: dict[str, Any] = {"network": model if network is None else network, "accumulate": accumulate}
    if keras.backend.backend() == "torch":
        from models.training.frameworks.torch_step import TorchStep

        return TorchStep(model, optimizer, loss, devices, **options)
    if keras.backend.backend() == "jax":
        from models.training.frameworks.jax_step import JaxStep

        return JaxStep(model, optimizer, loss, devices, **options)
    from models.training.frameworks.tensorflow_step import TensorFlowStep

    return TensorFlowStep(model, optimizer, loss, devices, xla=xla, key=key, **options)


def make_predictor(model: keras.Model, devices: TrainingDevices, *, xla: Xla, key: str | None = None) -> Predictor:
    """The predictor of the framework that Keras runs on, for a model from a dict of features to logits [B, C].

    `key`: as of `make_step`.
    """
    if keras.backend.backend() == "torch":
        from models.training.frameworks.torch_step import TorchPredictor

        return TorchPredictor(model, devices)
    if keras.backend.backend() == "jax":
        from models.training.frameworks.jax_step import JaxPredictor

        return JaxPredictor(model, devices)
    from models.training.frameworks.tensorflow_step import TensorFlowPredictor

    return TensorFlowPredictor(model, devices, xla=xla, key=key)


def passes(
    batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int, accumulate: int
) -> Iterator[tuple[Batch, np.ndarray, int]]:
    """The passes of one optimizer step, for the arguments of `TrainStep`.

    Returns:
        Each batch, the shares of its rows in the step's loss, float32 [B], and a number that no other pass of the
        training has.
    """
    total = float(sum(w.sum() for w in weights))
    for micro, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
        yield batch, (weight / total).astype(np.float32), step * accumulate * _MOST_PARTS + micro


def framework_version() -> str:
    """Such as "tensorflow 2.21.0"."""
    name = keras.backend.backend()
    return f"{name} {importlib.import_module(name).__version__}"


def onednn_state() -> str | None:
    """How TensorFlow uses oneDNN, see `models.runtime.onednn_state`; None on another framework."""
    return runtime.onednn_state() if keras.backend.backend() == "tensorflow" else None


def seed_states(model: keras.Model) -> list[tuple[Any, int]]:
    """The state of each random generator of a model, and the seed in it."""
    return [(variable, int(variable.numpy()[0])) for variable in model.non_trainable_variables if is_seed(variable)]


def draws_per_pass(model: keras.Model) -> int:
    """Random draws reserved for each dropout layer in a forward pass: at least as many as any of them makes.

    Layers that share their weights are one layer that is called repeatedly: ALBERT-large calls its block 24 times. With
    fewer draws, the last calls of a step would drop the same units as the first calls of the next step.
    """
    return DRAWS_PER_CALL * max((len(layer._inbound_nodes) for layer in model._flatten_layers()), default=1)
