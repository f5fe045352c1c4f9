"""One optimizer step on PyTorch, run operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import torch

from models.training.batches import Batch, Features
from models.training.frameworks.contract import RowLoss, StepResult, passes, seed_states

_SEED_FACTOR = 1_000_003  # a prime number: seeds of different trainings hardly ever meet


class TorchStep:
    """`models.training.frameworks.contract.TrainStep` on PyTorch."""

    traces = 0

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: RowLoss,
        *,
        network: keras.Model,
        accumulate: int,
    ) -> None:
        self._network, self._optimizer, self._loss, self._accumulate = network, optimizer, loss, accumulate
        self._variables = model.trainable_variables
        self._parameters = [variable.value for variable in self._variables]
        self._seed = sum(seed for _, seed in seed_states(model))

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`."""
        loss = 0.0
        for parameter in self._parameters:
            parameter.grad = None
        for batch, weight, number in passes(batches, weights, step, self._accumulate):
            torch.manual_seed(self._seed * _SEED_FACTOR + number)
            given = (batch.base_logits, batch.targets, weight)
            base, targets, shares = (keras.ops.convert_to_tensor(value) for value in given)
            logits = self._network(batch.features, training=True).float() + base
            part = (shares * self._loss(targets, logits)).sum()
            self._optimizer.scale_loss(part).backward()
            loss = loss + part.detach()
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self._parameters]
        with torch.no_grad():
            rate = self._optimizer.learning_rate
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            norm = norm / self._optimizer.scale_loss(1.0)
            self._optimizer.apply(gradients, self._variables)
        return StepResult(loss, norm, rate)


class TorchPredictor:
    """`models.training.frameworks.contract.Predictor` on PyTorch."""

    traces = 0

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def __call__(self, features: Features) -> np.ndarray:
        """See `Predictor`."""
        with torch.inference_mode():
            logits: Any = self._model(features, training=False)
            return np.asarray(logits.float().cpu().numpy())
