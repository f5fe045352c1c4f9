"""Elementwise operations that a training step computes in one pass over memory.

On a CPU, TensorFlow's matrix products (oneDNN) are faster than XLA's, but between them it runs one small operation
after the other, each of which reads and writes whole tensors: a GELU and its gradient are a dozen. Inside `fusing`,
`fuse` has XLA make one loop of each such group, and of its gradient, which computes the group again instead of keeping
what lies between. XLA compiles a group once for all layers.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_FUSING: ContextVar[bool] = ContextVar("fusing", default=False)
_LANE: ContextVar[int] = ContextVar("lane", default=0)


@contextlib.contextmanager
def fusing(on: bool) -> Iterator[None]:
    """Within the block, layers that are called on TensorFlow fuse their elementwise operations, or do not."""
    token = _FUSING.set(on)
    try:
        yield
    finally:
        _FUSING.reset(token)


@contextlib.contextmanager
def lane(number: int) -> Iterator[None]:
    """Within the block, what is fused gets programs of its own, for operations that run beside those of other lanes.

    XLA's programs for CPUs must not run twice at once: where a sum is YNNPACK's, the second run builds another kernel
    in a list that they share, and the process may crash (TensorFlow 2.21, `xla::cpu::EmitYnnSubgraph`).
    """
    token = _LANE.set(number)
    try:
        yield
    finally:
        _LANE.reset(token)


def current_lane() -> int:
    """The lane of this code, for what is run again later."""
    return _LANE.get()


def is_fusing() -> bool:
    """Whether this code runs inside `fusing`."""
    return _FUSING.get()


def fuse(function: Callable[..., Any], *tensors: Any, **settings: Any) -> Any:
    """A function of tensors as one program, inside `fusing`.

    Args:
        function: of the tensors, floating ones in float32, to one tensor. Not a lambda: it is compiled once for each
            function.
        tensors: of any type. Gradients reach those of floats.
        settings: further arguments, hashable.

    Returns:
        The result in the type of the first tensor.
    """
    return _program(function, tuple(sorted(settings.items())), _LANE.get())(*tensors)


class FusedDense(keras.layers.Dense):
    """Keras's dense layer; inside `fusing`, bias and activation are one pass."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """[..., D] to [..., units]."""
        if not is_fusing() or self.bias is None:
            return super().call(inputs, training=training)
        product = ops.matmul(ops.reshape(inputs, (-1, inputs.shape[-1])), self.kernel)
        result = fuse(_activated, product, self.bias, activation=self.activation)
        return ops.reshape(result, (*ops.shape(inputs)[:-1], self.units))


class FusedNorm(keras.layers.LayerNormalization):
    """Keras's layer normalization; inside `fusing`, one pass."""

    def call(self, inputs: Any) -> Any:
        """[..., D] to the same."""
        last = self.axis in (-1, [-1], inputs.ndim - 1, [inputs.ndim - 1])
        if not (is_fusing() and last) or self.rms_scaling or self.gamma is None or self.beta is None:
            return super().call(inputs)
        return fuse(_normalized, inputs, self.gamma, self.beta, epsilon=self.epsilon)


def _activated(product: Any, bias: Any, activation: Callable[[Any], Any]) -> Any:
    return activation(product + bias)


def _normalized(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Layer normalization over the last axis. XLA's products sum rows faster on a CPU than its sums do."""
    width = inputs.shape[-1]
    rows, mean = ops.reshape(inputs, (-1, width)), ops.full((width, 1), 1.0 / width)
    centred = rows - ops.matmul(rows, mean)
    variance = ops.matmul(centred * centred, mean)
    return ops.reshape(centred * ops.rsqrt(variance + epsilon) * gamma + beta, ops.shape(inputs))


@functools.cache
def _program(function: Callable[..., Any], settings: tuple[tuple[str, Any], ...], lane: int) -> Callable[..., Any]:
    import tensorflow as tf

    def wide(tensors: Any) -> list[Any]:
        return [tf.cast(x, tf.float32) if x.dtype.is_floating else x for x in tensors]

    def forward(*tensors: Any) -> Any:
        return tf.cast(function(*wide(tensors), **dict(settings)), tensors[0].dtype)

    def backward(upstream: Any, *tensors: Any) -> list[Any]:
        inputs = wide(tensors)
        with tf.GradientTape() as tape:
            tape.watch([x for x in inputs if x.dtype.is_floating])
            result = function(*inputs, **dict(settings))
        floats = [x for x in inputs if x.dtype.is_floating]
        gradients = tape.gradient(result, floats, tf.cast(upstream, result.dtype))
        kinds = [x.dtype for x in tensors if x.dtype.is_floating]
        return [tf.cast(gradient, kind) for gradient, kind in zip(gradients, kinds, strict=True)]

    def compiled(part: Callable[..., Any]) -> Any:
        @tf.function(jit_compile=True, autograph=False)
        def named(*given: Any) -> Any:
            with tf.name_scope(f"lane_{lane}"):  # a kept program is found by what it does, names included
                return part(*given)

        return named

    there, back = compiled(forward), compiled(backward)

    @tf.custom_gradient
    def run(*tensors: Any) -> Any:
        def gradient(upstream: Any) -> list[Any]:
            found = iter(back(upstream, *tensors))
            return [next(found) if x.dtype.is_floating else None for x in tensors]

        return there(*tensors), gradient

    def program(*tensors: Any) -> Any:  # of variables, too, which a custom gradient would refuse
        return run(*(tf.convert_to_tensor(ops.convert_to_tensor(x)) for x in tensors))

    return program
