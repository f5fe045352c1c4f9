"""One optimizer step on JAX: two programs, which XLA compiles: the gradients of a batch, and the update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from models.network.dropout import is_seed
from models.training.batches import Batch, Features
from models.training.frameworks.contract import RowLoss, StepResult, draws_per_pass, passes, seed_states
from models.training.frameworks.devices import TrainingDevices
from models.training.frameworks.jax_devices import spread


class JaxStep:
    """`models.training.frameworks.contract.TrainStep` on JAX."""

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
        self._devices = devices
        self._trainable = model.trainable_variables
        self._frozen = [v for v in network.non_trainable_variables if not is_seed(v)]
        self._seeds, self._draws_per_pass = seed_states(model), draws_per_pass(model)
        self.traces = 0
        self._gradients = jax.jit(jax.value_and_grad(self._weighted_loss, has_aux=True))
        # The former values are not needed any more, and their memory is used for the new ones.
        self._update = jax.jit(self._apply, donate_argnums=(0, 1), out_shardings=self._layouts())

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`."""
        loss, gradients = None, None
        trainable = [variable.value for variable in self._trainable]
        frozen = [variable.value for variable in self._frozen]  # as inputs: constants would be copied into the program
        state = [variable.value for variable in self._optimizer.variables]
        scale = self._optimizer.scale_loss(1.0)
        for batch, shares, number in passes(batches, weights, step, self._accumulate):
            features = spread(batch.features, self._devices)
            draws, given = number * self._draws_per_pass, (features, batch.base_logits, batch.targets, shares)
            (_, batch_loss), batch_gradients = self._gradients(
                trainable, frozen, *given, np.uint32(draws % 2**32), scale
            )
            loss = batch_loss if loss is None else loss + batch_loss
            gradients = (
                batch_gradients
                if gradients is None
                else [x + y for x, y in zip(gradients, batch_gradients, strict=True)]
            )
        rate = self._optimizer.learning_rate
        trainable, state, norm = self._update(trainable, state, gradients)
        for variables, values in ((self._trainable, trainable), (self._optimizer.variables, state)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return StepResult(loss, norm / scale, rate)

    def _layouts(self) -> tuple[Any, Any, None] | None:
        """Where the results of the update lie: where the variables do. None on one device."""
        if self._devices.strategy is None:
            return None
        groups = (self._trainable, self._optimizer.variables)
        trainable, state = ([variable.value.sharding for variable in group] for group in groups)
        return trainable, state, None

    def _weighted_loss(
        self,
        trainable: list[Any],
        frozen: list[Any],
        features: Features,
        base: Any,
        targets: Any,
        weights: Any,
        draws: Any,
        scale: Any,
    ) -> tuple[Any, Any]:
        self.traces += 1
        state = [*zip(self._trainable, trainable, strict=True), *zip(self._frozen, frozen, strict=True)]
        state += [(variable, jnp.stack([jnp.uint32(seed), draws])) for variable, seed in self._seeds]
        with keras.StatelessScope(state_mapping=state):
            logits = self._network(features, training=True).astype("float32") + base
            loss = jnp.sum(weights * self._loss(targets, logits))
        return loss * scale, loss

    def _apply(self, trainable: list[Any], state: list[Any], gradients: list[Any]) -> tuple[Any, Any, Any]:
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        trainable, state = self._optimizer.stateless_apply(state, gradients, trainable)
        return trainable, state, norm


class JaxPredictor:
    """`models.training.frameworks.contract.Predictor` on JAX."""

    def __init__(self, model: keras.Model, devices: TrainingDevices) -> None:
        self._model, self._devices, self.traces = model, devices, 0
        self._forward = jax.jit(self._call)

    def __call__(self, features: Features) -> np.ndarray:
        """See `Predictor`."""
        weights = [[variable.value for variable in group] for group in self._groups()]
        return np.asarray(self._forward(*weights, spread(features, self._devices)), np.float32)

    def _call(self, trainable: list[Any], others: list[Any], features: Features) -> Any:
        self.traces += 1
        return self._model.stateless_call(trainable, others, features, training=False)[0]

    def _groups(self) -> tuple[list[Any], list[Any]]:
        return self._model.trainable_variables, self._model.non_trainable_variables
