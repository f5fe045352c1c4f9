"""One optimizer step over all replicas.

Three programs: gradients of a batch, their sum with earlier ones (`accumulate`), and the update. On one replica each
is compiled by XLA. On several, only the gradients are, inside the replica: between them and the update stands the
all-reduce, which XLA cannot compile on every device, and Keras's update, which it cannot compile across replicas.
On a TPU everything is compiled in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.training.batches import Batch, Features
from models.training.loss import RowLoss
from models.training.strategy import Placement

# Draws that one dropout layer may make each time that the layer which holds it is called.
_DRAWS_PER_CALL = 16


@dataclass(frozen=True)
class StepResult:
    """Scalars of one optimizer step, perhaps not yet computed: the mean loss, the gradients' global norm before
    clipping, and the learning rate that was used."""

    loss: Any
    gradient_norm: Any
    learning_rate: Any


class TrainStep:
    """Runs optimizer steps of a model.

    Dropout's random numbers are a function of the seed, the step, the batch in it and the replica: nothing about
    them needs to be stored, and no two replicas drop alike. Other state that a layer changes in its forward pass
    (a batch normalization's averages) is not kept; the models here have none.

    Args:
        model: dict of features to logits [B, C] float32, made inside the placement's scope.
        optimizer: built for the model, made inside the scope.
        loss: targets and logits to the loss of each row [B].
        xla: compile as said above.
        accumulate: batches of one optimizer step, at most.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: RowLoss,
        placement: Placement,
        *,
        xla: bool,
        accumulate: int = 1,
    ) -> None:
        self._model, self._optimizer, self._loss, self._placement = model, optimizer, loss, placement
        self._accumulate = accumulate
        self._seeds = [(v, int(v.numpy()[0])) for v in model.non_trainable_variables if _is_seed(v)]
        self._draws_per_pass = draws_per_pass(model)
        self.traces = 0
        one = placement.replicas == 1
        self._gradients = _program(self._forward_backward, placement, xla, xla, self._count_trace)
        self._sum = _program(_add, placement, xla, xla)
        self._update = _program(self._apply, placement, xla and one, False)

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """Takes one optimizer step.

        Args:
            batches: 1 to `accumulate` batches.
            weights: for each batch, what its rows weigh [B]; the loss is the weighted mean over all batches.
            step: optimizer steps taken before.
        """
        total = float(sum(w.sum() for w in weights))
        loss, gradients = None, None
        for micro, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            draws = (step * self._accumulate + micro) * self._placement.replicas
            inputs = self._distribute(batch.features, batch.targets, (weight / total).astype(np.float32), draws)
            batch_loss, batch_gradients = self._gradients(*inputs)
            gradients = batch_gradients if gradients is None else self._sum(gradients, batch_gradients)
            batch_loss = self._placement.strategy.reduce(tf.distribute.ReduceOp.SUM, batch_loss, axis=None)
            loss = batch_loss if loss is None else loss + batch_loss
        norm, rate = self._update(gradients)
        return StepResult(loss, _first(norm, self._placement), _first(rate, self._placement))

    def _distribute(self, features: Features, targets: np.ndarray, weights: np.ndarray, draws: int) -> tuple[Any, ...]:
        if self._placement.replicas == 1:
            return features, targets, weights, np.array(draws * self._draws_per_pass, np.int64)
        share = len(weights) // self._placement.replicas

        def values(context: Any) -> tuple[Any, ...]:
            replica = context.replica_id_in_sync_group
            mine = slice(replica * share, (replica + 1) * share)
            cut = {name: value[mine] for name, value in features.items()}
            return cut, targets[mine], weights[mine], np.array((draws + replica) * self._draws_per_pass, np.int64)

        return _scatter(values, self._placement)

    def _count_trace(self) -> None:
        self.traces += 1

    def _forward_backward(self, features: Features, targets: Any, weights: Any, draws: Any) -> tuple[Any, list[Any]]:
        state = [(variable, tf.stack([tf.constant(seed, tf.int64), draws])) for variable, seed in self._seeds]
        variables = [variable.value for variable in self._model.trainable_variables]
        with keras.StatelessScope(state_mapping=state), tf.GradientTape() as tape:
            logits = self._model(features, training=True)
            loss = tf.reduce_sum(weights * self._loss(targets, tf.cast(logits, tf.float32)))
            scaled = self._optimizer.scale_loss(loss)
        # Dense, because Adam's moments change for every row of a table.
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _apply(self, gradients: list[Any]) -> tuple[Any, Any]:
        context = tf.distribute.get_replica_context()
        if self._placement.replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        rate = tf.identity(self._optimizer.learning_rate)
        scale = tf.cast(self._optimizer.scale_loss(1.0), tf.float32)
        # As Keras's clipping computes it, so that XLA computes it once.
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.stack([keras.ops.sum(keras.ops.square(g)) for g in gradients])))
        self._optimizer.apply(gradients)
        return norm / scale, rate


class BatchPredictor:
    """Logits of whole batches, over all replicas: [B, C] float32."""

    def __init__(self, model: keras.Model, placement: Placement, *, xla: bool) -> None:
        self._placement = placement
        self.traces = 0
        self._forward = _program(lambda x: model(x, training=False), placement, xla, xla, self._count_trace)

    def _count_trace(self) -> None:
        self.traces += 1

    def __call__(self, features: Features) -> np.ndarray:
        if self._placement.replicas == 1:
            return np.asarray(self._forward(features), np.float32)
        share = len(features["token_ids"]) // self._placement.replicas

        def values(context: Any) -> tuple[Any, ...]:
            start = context.replica_id_in_sync_group * share
            return ({name: value[start : start + share] for name, value in features.items()},)

        logits = self._forward(*_scatter(values, self._placement))
        return np.concatenate([np.asarray(x, np.float32) for x in _results(logits, self._placement)])


def _program(
    function: Callable[..., Any],
    placement: Placement,
    xla_alone: bool,
    xla_inside: bool,
    on_trace: Callable[[], None] = lambda: None,
) -> Callable[..., Any]:
    """The function as a graph: on one replica compiled as a whole, on several inside the replica."""
    if placement.replicas == 1 and not placement.compiles_by_itself:

        def alone(*inputs: Any) -> Any:
            on_trace()
            return function(*inputs)

        compiled: Callable[..., Any] = tf.function(alone, jit_compile=xla_alone or None)
        return compiled
    compiled = tf.function(function, jit_compile=True) if xla_inside and not placement.compiles_by_itself else function

    def inside(*inputs: Any) -> Any:
        return compiled(*inputs)  # Given a tf.function itself, run() would compile all replicas as one program.

    def everywhere(*inputs: Any) -> Any:
        on_trace()
        return placement.strategy.run(inside, inputs)

    program: Callable[..., Any] = tf.function(everywhere)
    return program


def _scatter(values: Callable[[Any], tuple[Any, ...]], placement: Placement) -> tuple[Any, ...]:
    """One value for each replica: `values` is asked with the replica's context."""
    distribute = placement.strategy.experimental_distribute_values_from_function
    scattered: tuple[Any, ...] = distribute(lambda context: tf.nest.map_structure(tf.constant, values(context)))
    return scattered


def _results(value: Any, placement: Placement) -> tuple[Any, ...]:
    return tuple(placement.strategy.experimental_local_results(value))


def _first(value: Any, placement: Placement) -> Any:
    return _results(value, placement)[0]


def _add(left: list[Any], right: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(left, right, strict=True)]


def draws_per_pass(model: keras.Model) -> int:
    """Random draws that a forward pass keeps for each dropout layer: at least as many as one of them makes.

    Layers that share their weights are one layer, called again and again: ALBERT-large calls its one block 24 times.
    With fewer draws the last calls of a step would drop what the first of the next step do.
    """
    return _DRAWS_PER_CALL * max((len(layer._inbound_nodes) for layer in model._flatten_layers()), default=1)


def _is_seed(variable: Any) -> bool:
    return str(variable.path).endswith("seed_generator_state")
