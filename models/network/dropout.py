"""Dropout that spends half as many random bits as Keras's, which take a fifth of a training step on a CPU."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import keras

from models.network.fused import fuse, is_fusing

DRAWS_PER_CALL = 16
"""Most random draws of a dropout layer in one call of the layer that contains it."""
_VALUES = 2**16


def is_seed(variable: Any) -> bool:
    """Whether a variable is the state of a random generator."""
    return str(variable.path).endswith("seed_generator_state")


class LeanDropout(keras.layers.Dropout):
    """Dropout that on TensorFlow, and on PyTorch's CPU, spends 16 random bits per activation instead of 32.

    There the rate is rounded to 1/65536 (0.1 becomes 0.10001); survivors are scaled by the rounded rate, so the
    expectation is exact. JAX and GPUs have fast random numbers of their own; PyTorch's come from its default generator,
    which the training step seeds.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Any shape and float type, both kept; axes that `noise_shape` gives size 1 share their bits."""
        if keras.backend.backend() == "torch":
            return _torch_dropout(inputs, self.rate, self.noise_shape) if training and self.rate else inputs
        if keras.backend.backend() == "jax":
            return super().call(inputs, training=training)
        import tensorflow as tf

        if not training or not self.drops:
            return inputs
        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            shape = tf.stack(_drawn(shape, self.noise_shape))
        bits = self.draw(shape)
        return fuse(drop, inputs, bits, rate=self.rate) if is_fusing() else drop(inputs, bits, self.rate)

    @property
    def drops(self) -> bool:
        """Whether anything is dropped in training, at the rounded rate."""
        return _rounded(self.rate) > 0

    def draw(self, shape: Any) -> Any:
        """TensorFlow: the random bits of a call in training, for `drop`."""
        return random_halves(shape, self.seed_generator.next())


def drop(inputs: Any, bits: Any, rate: float) -> Any:
    """TensorFlow: inputs with those dropped whose random bits are low, and the others scaled.

    Args:
        inputs: any float type.
        bits: uint16, of a shape that can be broadcast to that of the inputs; see `random_halves`.
        rate: share that is dropped, rounded to 1/65536.
    """
    import tensorflow as tf

    dropped = _rounded(rate)
    scale = _VALUES / (_VALUES - dropped)
    keep = bits >= tf.constant(dropped, bits.dtype)
    return tf.where(keep, inputs * tf.cast(scale, inputs.dtype), tf.zeros([], inputs.dtype))


def _rounded(rate: float) -> int:
    """The rate in 65536ths."""
    return round(rate * _VALUES)


def _drawn(shape: Any, noise_shape: tuple[int | None, ...]) -> list[Any]:
    """Sizes of the mask that is drawn for inputs of this shape."""
    return [shape[axis] if size is None else size for axis, size in enumerate(noise_shape)]


def _torch_dropout(inputs: Any, rate: float, noise_shape: tuple[int | None, ...] | None) -> Any:
    import torch

    shape = inputs.shape if noise_shape is None else _drawn(inputs.shape, noise_shape)
    kept = _REPLAYED.get()
    if inputs.device.type != "cpu":
        if noise_shape is None and kept is None:
            return torch.nn.functional.dropout(inputs, rate)
        draw, scale = lambda: torch.rand(shape, device=inputs.device) >= rate, 1 / (1 - rate)
    else:
        dropped = _rounded(rate)
        draw, scale = lambda: _torch_mask(shape, dropped), _VALUES / (_VALUES - dropped)
    mask = draw() if kept is None else kept.next(draw)
    return inputs * mask.to(inputs.dtype).mul_(scale)


def _torch_mask(shape: Any, dropped: int) -> Any:
    """Bool, False with a probability of `dropped` / 65536."""
    import torch

    count = math.prod(shape)
    words = torch.randint(-(2**63), 2**63 - 1, ((count + 3) // 4,))
    return words.view(torch.int16)[:count].view(shape) >= dropped - _VALUES // 2


class KeptMasks:
    """The masks that PyTorch's dropout drew in the first run of a function, for the later ones."""

    def __init__(self) -> None:
        self._masks: list[Any] = []
        self._taken = 0

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """Inside, the n-th dropout of each run has the mask of the n-th dropout of the first."""
        self._taken, token = 0, _REPLAYED.set(self)
        try:
            yield
        finally:
            _REPLAYED.reset(token)

    def next(self, draw: Callable[[], Any]) -> Any:
        """The next mask; drawn if this is the first run."""
        if self._taken == len(self._masks):
            self._masks.append(draw())
        self._taken += 1
        return self._masks[self._taken - 1]


_REPLAYED: ContextVar[KeptMasks | None] = ContextVar("replayed", default=None)


def random_halves(shape: Any, seed: Any) -> Any:
    """Uniform random integers of 16 bits, two from each random word.

    Args:
        shape: int32 [rank].
        seed: integer [2], the state of a Keras `SeedGenerator`.

    Returns:
        uint16 of that shape.
    """
    import tensorflow as tf

    count = tf.reduce_prod(shape)
    # XLA takes 32-bit seeds only; Keras keeps 64-bit ones.
    short_seed = tf.cast(tf.math.floormod(seed, tf.int32.max), tf.int32)
    words = tf.random.stateless_uniform([(count + 1) // 2], seed=short_seed, minval=None, maxval=None, dtype=tf.int32)
    halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
    return tf.reshape(halves, shape)
