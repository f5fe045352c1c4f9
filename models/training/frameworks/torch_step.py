"""One optimizer step on PyTorch: a graph of its operations, recorded once for each shape, and one fused update.

Recording matters on CPUs: run by Keras layer by layer, the Python code between the operations takes a tenth of a
second, which is a tenth of a step of a small encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from models.training.batches import Batch, Features
from models.training.frameworks.contract import RowLoss, StepResult, passes, seed_states
from models.training.frameworks.devices import TrainingDevices
from models.training.frameworks.torch_group import TorchGroup
from models.training.frameworks.torch_update import TorchUpdate

_SEED_FACTOR = 1_000_003  # a prime number: seeds of different trainings hardly ever meet


class TorchStep:
    """`models.training.frameworks.contract.TrainStep` on PyTorch."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: RowLoss,
        devices: TrainingDevices,
        *,
        network: keras.Model,
        accumulate: int,
    ) -> None:
        self._network, self._optimizer, self._loss, self._accumulate = network, optimizer, loss, accumulate
        self._variables, self._group = model.trainable_variables, _group(devices)
        self._update = TorchUpdate(optimizer, self._variables)
        self._recorded = _Recorded(self._gradients)
        self._seed = sum(seed for _, seed in seed_states(model))

    @property
    def traces(self) -> int:
        """See `TrainStep`."""
        return self._recorded.count

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`."""
        values = [variable.value.detach() for variable in self._variables]
        scale = torch.as_tensor(self._optimizer.scale_loss(1.0), dtype=torch.float32)
        loss: Any = 0.0
        gradients: list[torch.Tensor] = []
        for batch, weight, number in passes(batches, weights, step, self._accumulate):
            values_of_batch = (*batch.features.values(), batch.base_logits, batch.targets, weight)
            given = _tensors(_share(value, self._group) for value in values_of_batch)
            graph = self._recorded.graph(tuple(batch.features), values, given, scale)
            draws = number if self._group is None else number * self._group.size + self._group.rank
            torch.manual_seed(self._seed * _SEED_FACTOR + draws)  # recording draws numbers, too
            part, *more = graph(values, given, scale)
            loss = loss + part
            gradients = more if not gradients else torch._foreach_add(gradients, more)
        if self._group is not None:
            loss, *gradients = self._group.sum([loss, *gradients])
        rate = self._optimizer.learning_rate
        return StepResult(loss, self._update(gradients), rate)

    def _gradients(
        self, names: Sequence[str], values: Sequence[torch.Tensor], given: Sequence[torch.Tensor], scale: torch.Tensor
    ) -> list[torch.Tensor]:
        """The loss of a pass and its gradients, which are multiplied by the scale."""
        *features, base, targets, shares = given
        leaves = [value.detach().requires_grad_() for value in values]
        with (
            torch.enable_grad(),
            keras.StatelessScope(state_mapping=list(zip(self._variables, leaves, strict=True))),
        ):
            logits = self._network(dict(zip(names, features, strict=True)), training=True).float() + base
            loss = (shares * self._loss(targets, logits)).sum()
            # In this thread, where the scope is: with `train.remat`, layers run again in the backward pass.
            with torch.autograd.set_multithreading_enabled(False):
                found = torch.autograd.grad(loss * scale, leaves, allow_unused=True)
        pairs = zip(found, leaves, strict=True)
        return [loss.detach(), *(torch.zeros_like(leaf) if one is None else one for one, leaf in pairs)]


class TorchPredictor:
    """`models.training.frameworks.contract.Predictor` on PyTorch."""

    def __init__(self, model: keras.Model, devices: TrainingDevices) -> None:
        self._model, self._recorded, self._group = model, _Recorded(self._logits), _group(devices)

    @property
    def traces(self) -> int:
        """See `Predictor`."""
        return self._recorded.count

    def __call__(self, features: Features) -> np.ndarray:
        """See `Predictor`."""
        with torch.no_grad():
            given = _tensors(_share(value, self._group) for value in features.values())
            (logits,) = self._recorded.graph(tuple(features), [], given)([], given)
            if self._group is not None:
                logits = self._group.concatenate(logits)
            return np.asarray(logits.cpu().numpy())

    def _logits(
        self, names: Sequence[str], values: Sequence[torch.Tensor], given: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        logits: torch.Tensor = self._model(dict(zip(names, given, strict=True)), training=False)
        return [logits.float()]


class _Recorded:
    """A function of names, values and given tensors, as a graph of PyTorch's operations for each shape of the given.

    The values of variables that are not among the arguments are read when the graph runs.
    """

    def __init__(self, function: Callable[..., list[torch.Tensor]]) -> None:
        self._function, self._graphs = function, dict[Any, Callable[..., list[torch.Tensor]]]()

    @property
    def count(self) -> int:
        """How many have been recorded."""
        return len(self._graphs)

    def graph(
        self, names: Sequence[str], values: list[torch.Tensor], given: list[torch.Tensor], *more: torch.Tensor
    ) -> Callable[..., list[torch.Tensor]]:
        """The graph for such arguments, to be called with all but the names."""
        key = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in zip(names, given, strict=False))
        if key not in self._graphs:
            graph = make_fx(lambda *arguments: self._function(names, *arguments))(values, given, *more)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            self._graphs[key] = graph
        return self._graphs[key]


def _group(devices: TrainingDevices) -> TorchGroup | None:
    return devices.group if isinstance(devices.group, TorchGroup) else None


def _share(value: np.ndarray, group: TorchGroup | None) -> np.ndarray:
    """The part of a batch that this process computes."""
    if group is None:
        return value
    size = len(value) // group.size
    return value[group.rank * size : (group.rank + 1) * size]


def _tensors(arrays: Any) -> list[torch.Tensor]:
    """The arrays on the device that Keras uses."""
    return [keras.ops.convert_to_tensor(array) for array in arrays]
