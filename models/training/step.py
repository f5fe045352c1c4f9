"""One optimizer step over all replicas.

A step consists of three programs: the gradients of a batch, their sum with earlier ones (`accumulate`), and the update.
On one replica, XLA compiles each of them. On several, XLA compiles only the gradients, inside the replica: it cannot
compile the all-reduce on every device, nor Keras's update across replicas. On a TPU everything is compiled anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.training.batches import Batch, Features
from models.training.devices import TrainingDevices
from models.training.loss import RowLoss

# Most random draws of a dropout layer in one call of the layer that contains it.
_DRAWS_PER_CALL = 16
# Most passes of one batch: a batch that does not fit its shape is passed in parts.
_MOST_PARTS = 64


@dataclass(frozen=True)
class StepResult:
    """Scalars of one optimizer step, possibly not computed yet: the mean loss, the gradients' global norm before
    clipping, and the learning rate."""

    loss: Any
    gradient_norm: Any
    learning_rate: Any


class TrainStep:
    """Runs optimizer steps of a model.

    Dropout's random numbers are a function of the seed, the step, the batch within it and the replica. So they need
    no stored state, and no two replicas drop the same units. Other state that a layer changes in its forward pass
    (the averages of a batch normalization) is not kept; the models here have none.

    Args:
        model: its trainable variables learn; made in the scope of the devices' strategy.
        optimizer: built for the model, made in that scope.
        loss: targets and logits to the loss of each row [B].
        network: dict of features to logits [B, C] float32, with the model's layers: its packed model; default: itself.
        xla: compile with XLA, see above.
        accumulate: most batches of one optimizer step.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: RowLoss,
        devices: TrainingDevices,
        *,
        network: keras.Model | None = None,
        xla: bool,
        accumulate: int = 1,
    ) -> None:
        self._network = model if network is None else network
        self._model, self._optimizer, self._loss, self._devices = model, optimizer, loss, devices
        self._accumulate = accumulate
        self._seeds = [(v, int(v.numpy()[0])) for v in model.non_trainable_variables if _is_seed(v)]
        self._draws_per_pass = draws_per_pass(model)
        self.traces = 0
        single = devices.replicas == 1
        self._gradients = _program(self._forward_backward, devices, xla, xla, self._count_trace)
        self._sum = _program(_add, devices, xla, xla)
        self._update = _program(self._apply, devices, xla and single, False)

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """Takes one optimizer step.

        Args:
            batches: 1 to `accumulate` batches, each of them perhaps in parts.
            weights: for each batch, the weights of its rows, [B]; the loss is the weighted mean over all batches.
            step: optimizer steps taken before.
        """
        total = float(sum(w.sum() for w in weights))
        loss, gradients = None, None
        for micro, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            draws = (step * self._accumulate * _MOST_PARTS + micro) * self._devices.replicas
            inputs = self._distribute(batch, (weight / total).astype(np.float32), draws)
            batch_loss, batch_gradients = self._gradients(*inputs)
            gradients = batch_gradients if gradients is None else self._sum(gradients, batch_gradients)
            batch_loss = self._devices.strategy.reduce(tf.distribute.ReduceOp.SUM, batch_loss, axis=None)
            loss = batch_loss if loss is None else loss + batch_loss
        norm, rate = self._update(gradients)
        return StepResult(loss, *(_results(value, self._devices)[0] for value in (norm, rate)))

    def _distribute(self, batch: Batch, weights: np.ndarray, draws: int) -> tuple[Any, ...]:
        given = (batch.features, batch.base_logits, batch.targets, weights)
        if self._devices.replicas == 1:
            return *given, np.array(draws * self._draws_per_pass, np.int64)

        def values(context: Any) -> tuple[Any, ...]:
            replica = context.replica_id_in_sync_group
            cut = tf.nest.map_structure(lambda value: _share(value, replica, self._devices), given)
            return *cut, np.array((draws + replica) * self._draws_per_pass, np.int64)

        return _scatter(values, self._devices)

    def _count_trace(self) -> None:
        self.traces += 1

    def _forward_backward(
        self, features: Features, base: Any, targets: Any, weights: Any, draws: Any
    ) -> tuple[Any, list[Any]]:
        state = [(variable, tf.stack([tf.constant(seed, tf.int64), draws])) for variable, seed in self._seeds]
        variables = [variable.value for variable in self._model.trainable_variables]
        with keras.StatelessScope(state_mapping=state), tf.GradientTape() as tape:
            logits = tf.cast(self._network(features, training=True), tf.float32) + base
            loss = tf.reduce_sum(weights * self._loss(targets, logits))
            scaled = self._optimizer.scale_loss(loss)
        # Dense, because Adam's moments change for every row of an embedding table.
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _apply(self, gradients: list[Any]) -> tuple[Any, Any]:
        context = tf.distribute.get_replica_context()
        if self._devices.replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        rate = tf.identity(self._optimizer.learning_rate)
        scale = tf.cast(self._optimizer.scale_loss(1.0), tf.float32)
        # The same expression as in Keras's clipping, so that XLA computes it once.
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.stack([keras.ops.sum(keras.ops.square(g)) for g in gradients])))
        self._optimizer.apply(gradients)
        return norm / scale, rate


class BatchPredictor:
    """Logits of whole batches, over all replicas: [B, C] float32."""

    def __init__(self, model: keras.Model, devices: TrainingDevices, *, xla: bool) -> None:
        self._devices = devices
        self.traces = 0
        self._forward = _program(lambda x: model(x, training=False), devices, xla, xla, self._count_trace)

    def _count_trace(self) -> None:
        self.traces += 1

    def __call__(self, features: Features) -> np.ndarray:
        if self._devices.replicas == 1:
            return np.asarray(self._forward(features), np.float32)

        def values(context: Any) -> tuple[Any, ...]:
            replica = context.replica_id_in_sync_group
            return ({name: _share(value, replica, self._devices) for name, value in features.items()},)

        logits = self._forward(*_scatter(values, self._devices))
        return np.concatenate([np.asarray(x, np.float32) for x in _results(logits, self._devices)])


def _program(
    function: Callable[..., Any],
    devices: TrainingDevices,
    xla_alone: bool,
    xla_inside: bool,
    on_trace: Callable[[], None] = lambda: None,
) -> Callable[..., Any]:
    """The function as a graph: compiled as a whole on one replica, inside the replica on several."""
    if devices.replicas == 1 and not devices.always_compiles:

        def traced(*inputs: Any) -> Any:
            on_trace()
            return function(*inputs)

        compiled: Callable[..., Any] = tf.function(traced, jit_compile=xla_alone or None)
        return compiled
    compiled = tf.function(function, jit_compile=True) if xla_inside and not devices.always_compiles else function

    def inside(*inputs: Any) -> Any:
        return compiled(*inputs)  # given the tf.function itself, run() would compile all replicas as one program

    def run_replicas(*inputs: Any) -> Any:
        on_trace()
        return devices.strategy.run(inside, inputs)

    program: Callable[..., Any] = tf.function(run_replicas)
    return program


def _scatter(values: Callable[[Any], tuple[Any, ...]], devices: TrainingDevices) -> tuple[Any, ...]:
    """One value for each replica; `values` is called with the replica's context."""
    distribute = devices.strategy.experimental_distribute_values_from_function
    scattered: tuple[Any, ...] = distribute(lambda context: tf.nest.map_structure(tf.constant, values(context)))
    return scattered


def _share(value: np.ndarray, replica: int, devices: TrainingDevices) -> np.ndarray:
    size = len(value) // devices.replicas
    return value[replica * size : (replica + 1) * size]


def _results(value: Any, devices: TrainingDevices) -> tuple[Any, ...]:
    return tuple(devices.strategy.experimental_local_results(value))


def _add(left: list[Any], right: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(left, right, strict=True)]


def draws_per_pass(model: keras.Model) -> int:
    """Random draws reserved for each dropout layer in a forward pass: at least as many as any of them makes.

    Layers that share their weights are one layer that is called repeatedly: ALBERT-large calls its block 24 times. With
    fewer draws, the last calls of a step would drop the same units as the first calls of the next step.
    """
    return _DRAWS_PER_CALL * max((len(layer._inbound_nodes) for layer in model._flatten_layers()), default=1)


def _is_seed(variable: Any) -> bool:
    return str(variable.path).endswith("seed_generator_state")
