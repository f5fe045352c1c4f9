"""One optimizer step over all replicas, on TensorFlow.

A step consists of three programs: the gradients of a batch, their sum with earlier ones (`accumulate`), and the update;
on one device and without a loss scale, gradients that are not accumulated and the update are one program. XLA compiles
the gradients, or of them ("parts") only what `models.network.fused` gives it; the sum and the update run TensorFlow's
own kernels. With a loss scale, XLA compiles Keras's update where it compiles all gradients, but not on several
replicas, where it cannot, nor the all-reduce. On a TPU everything is compiled anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.network.fused import fusing, lane
from models.training.batches import Batch, Features
from models.training.frameworks.contract import RowLoss, StepResult, draws_per_pass, passes, seed_states
from models.training.frameworks.devices import TrainingDevices
from models.training.frameworks.tensorflow_programs import KeptGraphs, Program, kept_graphs
from models.training.frameworks.tensorflow_update import SCOPE, update_on_one_device
from models.training.optimizer import LayerwiseAdamW
from models.training_config import Xla


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
        xla: Xla,
        accumulate: int,
        key: str | None = None,
    ) -> None:
        self._network = _in_shares(network, devices.shares)
        self._model, self._optimizer, self._loss, self._devices = model, optimizer, loss, devices
        self._accumulate = accumulate
        self._parts, whole = xla == "parts", xla is True
        generators = seed_states(model)
        self._seeded, self._seeds = [variable for variable, _ in generators], [seed for _, seed in generators]
        self._draws_per_pass = draws_per_pass(model) * devices.shares
        self.traces = 0
        used = [*network.variables, *model.variables, *optimizer.variables]
        kept = kept_graphs(key and f"{key} {devices.shares}", used)
        how = " in parts" if self._parts else " by XLA" if whole else ""
        count = self._count_trace
        self._own_update = _is_single(devices) and isinstance(optimizer, LayerwiseAdamW)
        self._at_once = self._own_update and accumulate == 1
        self._inner: Callable[..., list[Any]] = self._forward_backward
        if self._at_once and whole:  # compiled once, also for a batch that is passed in parts
            self._inner, whole = tf.function(self._forward_backward, jit_compile=True, autograph=False), False
        self._gradients = _program(f"gradients{how}", self._inner, devices, whole, kept, count)
        self._sum = _program("sum", _add, devices, False, kept)
        if self._at_once:
            self._in_one = _program(f"step{how}", self._forward_backward_apply, devices, False, kept, count)
        if self._own_update:
            self._update = _program("update", self._apply_on_one_device, devices, False, kept)
        else:
            self._update = _program("update", self._apply, devices, whole, None, xla_inside=False)

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`."""
        given = [
            self._distribute(batch, shares, number * self._devices.replicas)
            for batch, shares, number in passes(batches, weights, step, self._accumulate)
        ]
        if self._at_once and len(given) == 1:
            rate = self._optimizer.rate(step)
            loss, norm = self._in_one(*given[0], rate)
            return StepResult(loss, norm, rate)
        loss, gradients = None, None
        for inputs in given:
            batch_loss, *batch_gradients = self._gradients(*inputs)
            gradients = batch_gradients if gradients is None else self._sum(gradients, batch_gradients)
            batch_loss = self._devices.strategy.reduce(tf.distribute.ReduceOp.SUM, batch_loss, axis=None)
            loss = batch_loss if loss is None else loss + batch_loss
        if self._own_update:
            rate = self._optimizer.rate(step)  # an input, so that the program is the same with another schedule
            (norm,) = self._update(gradients, rate)
        else:
            norm, rate = self._update(gradients)
        return StepResult(loss, *(_results(value, self._devices)[0] for value in (norm, rate)))

    def _states(self, number: int) -> np.ndarray:
        """Int64 [G, 2], of the random generators: inputs, so that the program is the same with another seed."""
        return np.array([(seed, number * self._draws_per_pass) for seed in self._seeds], np.int64).reshape(-1, 2)

    def _distribute(self, batch: Batch, weights: np.ndarray, draws: int) -> tuple[Any, ...]:
        given = (batch.features, batch.base_logits, batch.targets, weights)
        if self._devices.replicas == 1:
            return *given, self._states(draws)

        def values(context: Any) -> tuple[Any, ...]:
            replica = context.replica_id_in_sync_group
            cut = tf.nest.map_structure(lambda value: _share(value, replica, self._devices), given)
            return *cut, self._states(draws + replica)

        return _scatter(values, self._devices)

    def _count_trace(self) -> None:
        self.traces += 1

    def _forward_backward(self, features: Features, base: Any, targets: Any, weights: Any, states: Any) -> list[Any]:
        """The loss and its gradients."""
        state = [(variable, states[index]) for index, variable in enumerate(self._seeded)]
        variables = [variable.value for variable in self._model.trainable_variables]
        with fusing(self._parts):  # the backward pass, too: it may compute a layer again
            with keras.StatelessScope(state_mapping=state), tf.GradientTape() as tape:
                logits = tf.cast(self._network(features, training=True), tf.float32) + base
                loss = tf.reduce_sum(weights * self._loss(targets, logits))
                scaled = self._optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # Dense, because Adam's moments change for every row of an embedding table.
        return [loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    def _forward_backward_apply(self, *inputs: Any) -> list[Any]:
        """The loss and the gradients' norm. TensorFlow runs what it can of the update beside the last gradients."""
        *given, rate = inputs
        loss, *gradients = self._inner(*given)
        return [loss, *self._apply_on_one_device(gradients, rate)]

    def _apply_on_one_device(self, gradients: list[Any], rate: Any) -> list[Any]:
        return [update_on_one_device(self._optimizer, self._model.trainable_variables, gradients, rate)]

    def _apply(self, gradients: list[Any]) -> list[Any]:
        context = tf.distribute.get_replica_context()
        if self._devices.replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        rate = tf.identity(self._optimizer.learning_rate)
        scale = tf.cast(self._optimizer.scale_loss(1.0), tf.float32)
        # The same expression as in Keras's clipping, so that XLA computes it once.
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.stack([keras.ops.sum(keras.ops.square(g)) for g in gradients])))
        with tf.name_scope(SCOPE):
            self._optimizer.apply(gradients)
        return [norm / scale, rate]


class TensorFlowPredictor:
    """`models.training.frameworks.contract.Predictor` on TensorFlow, over all replicas."""

    def __init__(self, model: keras.Model, devices: TrainingDevices, *, xla: Xla, key: str | None = None) -> None:
        self._network, self._devices = _in_shares(model, devices.shares), devices
        self.traces = 0
        kept = kept_graphs(key and f"{key} {devices.shares}", model.variables)
        self._forward = _program("logits", self._logits, devices, xla is True, kept, self._count_trace)

    def _count_trace(self) -> None:
        self.traces += 1

    def _logits(self, features: Features) -> list[Any]:
        return [self._network(features, training=False)]

    def __call__(self, features: Features) -> np.ndarray:
        """See `Predictor`."""
        if self._devices.replicas == 1:
            (logits,) = self._forward(features)
            return np.asarray(logits, np.float32)

        def values(context: Any) -> tuple[Any, ...]:
            replica = context.replica_id_in_sync_group
            return ({name: _share(value, replica, self._devices) for name, value in features.items()},)

        (logits,) = self._forward(*_scatter(values, self._devices))
        return np.concatenate([np.asarray(x, np.float32) for x in _results(logits, self._devices)])


def _in_shares(network: keras.Model, count: int) -> Callable[..., Any]:
    """The network, run on each of so many shares of its lines by itself.

    TensorFlow runs side by side what does not depend on each other. Lines that cannot be divided are one share.
    """

    def run(features: Features, training: bool) -> Any:
        if count == 1 or any(value.shape[0] % count for value in features.values()):
            assert count == 1 or "starts" not in features, "each share is packed by itself"
            return network(features, training=training)
        parts = []
        for number in range(count):
            with lane(number):
                share = {name: tf.split(value, count)[number] for name, value in features.items()}
                parts.append(network(share, training=training))
        return tf.concat(parts, axis=0)

    return run


def _program(
    role: str,
    function: Callable[..., list[Any]],
    devices: TrainingDevices,
    xla: bool,
    kept: KeptGraphs | None,
    on_trace: Callable[[], None] = lambda: None,
    *,
    xla_inside: bool = True,
) -> Callable[..., Any]:
    """The function as a graph: compiled as a whole on one replica, inside the replica on several if `xla_inside`."""
    if _is_single(devices):
        return Program(function, role, xla=xla, kept=kept, on_new=on_trace)
    compile_inside = xla and xla_inside and not devices.always_compiles
    compiled = tf.function(function, jit_compile=True) if compile_inside else function

    def inside(*inputs: Any) -> Any:
        return compiled(*inputs)  # given the tf.function itself, run() would compile all replicas as one program

    def run_replicas(*inputs: Any) -> Any:
        on_trace()
        return devices.strategy.run(inside, inputs)

    program: Callable[..., Any] = tf.function(run_replicas)
    return program


def _is_single(devices: TrainingDevices) -> bool:
    return devices.replicas == 1 and not devices.always_compiles


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
