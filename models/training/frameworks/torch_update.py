"""The update of `models.training.optimizer.LayerwiseAdamW` on PyTorch, in one fused operation for each rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import torch

from models.training.optimizer import LayerwiseAdamW


class TorchUpdate:
    """Updates variables in place, and the state of their optimizer, as its own `apply` does.

    Args:
        optimizer: built for the variables. With a loss scale, its own `apply` runs.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> None:
        self._optimizer, self._variables = optimizer, list(variables)
        self._groups = optimizer.groups() if isinstance(optimizer, LayerwiseAdamW) else None

    @torch.no_grad()
    def __call__(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        """Takes one step.

        Args:
            gradients: of the variables; with a loss scale, of the scaled loss. They may be changed.

        Returns:
            Their global norm before clipping, without the scale.
        """
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self._groups is None:
            norm = norm / self._optimizer.scale_loss(1.0)  # `apply` may change the scale
            self._optimizer.apply(gradients, self._variables)
            return norm
        optimizer = self._optimizer
        # The fused operation takes it for granted; the gradient of a convolution's kernel is not.
        gradients = [gradient.contiguous() for gradient in gradients]
        if optimizer.global_clipnorm is not None:
            # Not in place: two gradients may be one tensor.
            gradients = list(torch._foreach_mul(gradients, torch.clamp(optimizer.global_clipnorm / norm, max=1.0)))
        rate, step = float(optimizer.learning_rate), int(optimizer.iterations) + 1
        steps = [torch.tensor(float(step), device=gradients[0].device)] * len(gradients)  # read only
        for (multiple, decay), indices in self._groups.items():
            lists = (self._values(indices), [gradients[index] for index in indices])
            states = (optimizer._momentums, optimizer._velocities)
            moments = [[state[index].value for index in indices] for state in states]
            torch._fused_adamw_(
                *lists,
                *moments,
                [],
                steps[: len(indices)],
                lr=rate * multiple,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                weight_decay=decay,
                # Keras adds it to the uncorrected root.
                eps=optimizer.epsilon / math.sqrt(1.0 - optimizer.beta_2**step),
                amsgrad=False,
                maximize=False,
            )
        if optimizer.averages:
            averages = [average.value for average in optimizer.averages]
            every = self._values(range(len(self._variables)))
            torch._foreach_lerp_(averages, every, 1.0 - float(optimizer.average_momentum(step - 1)))
        optimizer.iterations.assign_add(1)
        return norm

    def _values(self, indices: Sequence[int]) -> list[torch.Tensor]:
        return [self._variables[index].value.detach() for index in indices]
