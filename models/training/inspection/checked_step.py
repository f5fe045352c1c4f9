"""The training step, run eagerly, which stops at the first number that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.training.batches import Batch, Features
from models.training.frameworks.contract import StepResult
from models.training.frameworks.tensorflow_step import TensorFlowStep
from models.training.inspection.not_finite import Finding, NotFiniteError, counts, rows_with
from models.training.inspection.some_steps import weights_of
from models.training.inspection.watched_layers import watched_layers
from models.training.loop import Loop

# Passes, forward and backward, that may be spent on finding the rows of a gradient.
_MOST_PASSES = 32


@dataclass
class Largest:
    """The largest number seen so far, without its sign, and where: the path of a layer or a variable."""

    value: float = 0.0
    where: str = ""

    def add(self, value: float, where: str) -> None:
        if value > self.value:
            self.value, self.where = value, where


class CheckedStep(TensorFlowStep):
    """The step of a training, for one device and without XLA; call it within `watched_layers.eager`.

    After every layer its output is checked, then the loss, every gradient, and after the update every weight. With a
    loss scale, gradients are not: those of the first steps overflow, and are left out.

    Attributes:
        outputs: of the layers, in the step taken last.
        largest_weight: of the variables that are trained, after it.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop, self._config = loop, loop.config
        self._scaled = hasattr(loop.optimizer, "inner_optimizer")
        self._number, self._given = 0, list[Batch]()
        self._place, self._checking = 0, True
        self.outputs, self.largest_weight = Largest(), Largest()
        super().__init__(
            loop.model,
            loop.optimizer,
            self._row_loss,
            loop.devices,
            network=loop.network,
            xla=False,
            accumulate=loop.config.accumulate,
        )

    def check_weights(self) -> None:
        """Checks all weights, also those that are not trained.

        Raises:
            NotFiniteError: one is not finite.
        """
        self.largest_weight = Largest()
        found = []
        for variable in self._model.weights:
            value = variable.value
            if not value.dtype.is_floating:
                continue
            largest = _largest(value)
            if not np.isfinite(largest):
                found.append((variable.path, value))
            elif variable.trainable:
                self.largest_weight.add(largest, variable.path)
        if found:
            self._stop("weight", found, batch=_all_rows(self._given))

    def __call__(self, batches: Sequence[Batch], weights: Sequence[np.ndarray], step: int) -> StepResult:
        """See `TrainStep`.

        Raises:
            NotFiniteError: something is not finite.
        """
        self._number, self._given, self._place, self.outputs = step + 1, list(batches), 0, Largest()
        result = super().__call__(batches, weights, step)
        self.check_weights()
        return result

    @property
    def _batch(self) -> Batch:
        """The batch that is computed now."""
        return self._given[self._place]

    def _row_loss(self, targets: Any, logits: Any) -> Any:
        """The loss of each row [B], checked like the logits [B, C] that it is computed from."""
        losses = self._loop.loss(targets, logits)
        if self._checking:
            for kind, values in (("logits", logits), ("loss", losses)):
                self._check(kind, kind, values)
        return losses

    def _forward_backward(self, features: Features, base: Any, targets: Any, weights: Any, states: Any) -> list[Any]:
        given = (features, base, targets, weights, states)
        if not self._checking:
            return super()._forward_backward(*given)
        with watched_layers(self._check_outputs):
            loss, *gradients = super()._forward_backward(*given)
        if not self._scaled:
            self._check_gradients(gradients)
        self._place += 1
        return [loss, *gradients]

    def _check_outputs(self, layer: Any, path: str, tensors: Sequence[Any]) -> None:
        for tensor in tensors:
            self._check("output", path, tensor)

    def _check(self, kind: str, where: str, tensor: Any) -> None:
        if not tensor.dtype.is_floating or (largest := _largest(tensor)) == 0.0:
            return
        if np.isfinite(largest):
            if kind == "output":
                self.outputs.add(largest, where)
            return
        output = tensor
        batch = self._batch
        rows = rows_with(~np.isfinite(_numbers(output)), batch)
        self._stop(kind, [(where, output)], rows=rows, batch=tuple(batch.rows.tolist()))

    def _check_gradients(self, gradients: Sequence[Any]) -> None:
        named = zip((variable.path for variable in self._model.trainable_variables), gradients, strict=True)
        # The one nearest to the loss first: gradients are computed from there.
        found = [(path, value) for path, value in named if not np.isfinite(_largest(value))][::-1]
        if found:
            rows = tuple(self._batch.rows.tolist())
            self._stop("gradient", found, rows=self._rows_of_gradient(), batch=rows)

    def _rows_of_gradient(self) -> tuple[int, ...]:
        """The rows that have such a gradient also without the others; empty if none has, or there are too many."""
        passes = 0

        def fails(rows: np.ndarray) -> bool:
            nonlocal passes
            for batch in self._loop.make_batches([rows]):
                passes += 1
                (weights,) = weights_of(self._loop, [batch])
                shares = (weights / weights.sum()).astype(np.float32)
                given = (batch.features, batch.base_logits, batch.targets, shares, self._states(0))
                _, *gradients = self._forward_backward(*tf.nest.map_structure(tf.convert_to_tensor, given))
                if not all(np.isfinite(_largest(gradient)) for gradient in gradients):
                    return True
            return False

        self._checking = False
        try:
            return tuple(sorted(narrow(self._batch.rows, fails, lambda: passes < _MOST_PASSES)))
        finally:
            self._checking = True

    def _stop(
        self,
        kind: str,
        found: Sequence[tuple[str, Any]],
        rows: tuple[int, ...] = (),
        batch: tuple[int, ...] = (),
    ) -> None:
        (where, tensor), *others = found
        step, steps = self._number, self._loop.steps
        finding = Finding(kind, where, counts(_numbers(tensor)), step, steps, rows, batch, tuple(p for p, _ in others))
        raise NotFiniteError(finding, self._config)


def narrow(rows: np.ndarray, fails: Callable[[np.ndarray], bool], may_go_on: Callable[[], bool]) -> list[int]:
    """The single rows for which `fails` is true, found by halving; empty when `may_go_on` ends it before."""
    waiting, found = [rows], list[int]()
    while waiting:
        if not may_go_on():
            return []
        part = waiting.pop()
        if not fails(part):
            continue
        if len(part) == 1:
            found.append(int(part[0]))
        else:
            waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
    return found


def _largest(tensor: Any) -> float:
    """The largest number without its sign; NaN if there is one; 0 of none."""
    if tf.size(tensor) == 0:
        return 0.0
    # NaN spreads in a sum, not in a maximum.
    absolute = tf.abs(tf.cast(tensor, tf.float32))
    return float(tf.reduce_max(absolute)) if bool(tf.reduce_all(tf.math.is_finite(absolute))) else float("nan")


def _numbers(tensor: Any) -> np.ndarray:
    return np.asarray(tf.cast(tensor, tf.float32))


def _all_rows(batches: Sequence[Batch]) -> tuple[int, ...]:
    return tuple(int(row) for batch in batches for row in batch.rows)
