"""One optimizer step over all replicas, on TensorFlow.

A step consists of three programs: the gradients of a batch, their sum with earlier ones (`accumulate`), and the update.
On one replica, XLA compiles the first two, and the update runs TensorFlow's own kernels; with a loss scale, XLA
compiles Keras's update. On several, XLA compiles only the gradients, inside the replica: it cannot compile the
all-reduce on every device, nor Keras's update across replicas. On a TPU everything is compiled anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.training.batches import Batch, Features
from models.training.frameworks.contract import RowLoss, StepResult, draws_per_pass, passes, seed_states
from models.training.frameworks.devices import TrainingDevices
from models.training.frameworks.tensorflow_update import update_on_one_device
from models.training.optimizer import LayerwiseAdamW


class TensorFlowStep:
    """`models.training.frameworks.contract.TrainStep` on TensorFlow, with or without XLA, on one or more replicas."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: RowLoss,
        devices: TrainingDevices,
        *,
        network: keras.Model,
        xla: bool,
        accumulate: int,
    ) -> None:
        self._network = network
        self._model, self._optimizer, self._loss, self._devices = model, optimizer, loss, devices
        self._accumulate = accumulate
        self._seeds = seed_states(model)
        self._draws_per_pass = draws_per_pass(model)
        self.traces = 0
        single = devices.replicas == 1
        self._gradients = _program(self._forward_backward, devices, xla, xla, self._count_trace)
        self._sum = _program(_add, devices, xla, xla)
        fused = single and not devices.always_compiles and isinstance(optimizer, LayerwiseAdamW)
        if fused:
            self._update = _program(self._apply_fused, devices, False, False)
        else:
            self._update = _program(self._apply, devices, xla and single, False)

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`."""
        loss, gradients = None, None
        for batch, shares, number in passes(batches, weights, step, self._accumulate):
            inputs = self._distribute(batch, shares, number * self._devices.replicas)
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

    def _apply_fused(self, gradients: list[Any]) -> tuple[Any, Any]:
        rate = tf.identity(self._optimizer.learning_rate)
        return update_on_one_device(self._optimizer, self._model.trainable_variables, gradients), rate

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


class TensorFlowPredictor:
    """`models.training.frameworks.contract.Predictor` on TensorFlow, over all replicas."""

    def __init__(self, model: keras.Model, devices: TrainingDevices, *, xla: bool) -> None:
        self._devices = devices
        self.traces = 0
        self._forward = _program(lambda x: model(x, training=False), devices, xla, xla, self._count_trace)

    def _count_trace(self) -> None:
        self.traces += 1

    def __call__(self, features: Features) -> np.ndarray:
        """See `Predictor`."""
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
