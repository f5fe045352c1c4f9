"""Dropout whose random bits cost a compiled training step next to nothing.

On a CPU, Philox and Threefry take a tenth of a step, or most of it where XLA compiles them. A hash of the element's
number, keyed by the seed, is random enough for a mask, needs no memory and fuses with the operations around it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from models.network.fused import fuse, is_fusing

DRAWS_PER_CALL = 16
"""Most random draws of a dropout layer in one call of the layer that contains it."""
_WORDS = 2**32
_HALVES = 2**16


def is_seed(variable: Any) -> bool:
    """Whether a variable is the state of a random generator."""
    return str(variable.path).endswith("seed_generator_state")


class LeanDropout(keras.layers.Dropout):
    """Dropout by `drop` on TensorFlow and JAX: the same seed draws the same mask on both, compiled or not.

    PyTorch, which runs one operation after the other, draws 16 random bits per activation on the CPU, from its default
    generator, which the training step seeds. The rate is there rounded to 1/65536 (0.1 becomes 0.10001); survivors are
    scaled by the rounded rate, so the expectation is exact.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Any shape and float type, both kept; axes that `noise_shape` gives size 1 share their bits."""
        if not training or not self.drops:
            return inputs
        if keras.backend.backend() == "torch":
            return _torch_dropout(inputs, self.rate, self.noise_shape)
        run = functools.partial(fuse, drop) if is_fusing() else drop
        return run(inputs, self.next_seed(), rate=self.rate, noise_shape=self.noise_shape)

    @property
    def drops(self) -> bool:
        """Whether anything is dropped in training."""
        return bool(self.rate > 0)

    def next_seed(self) -> Any:
        """The seed of the next call's mask, for `drop`: integer [2]."""
        return self.seed_generator.next()


def drop(inputs: Any, seed: Any, rate: float, noise_shape: tuple[int | None, ...] | None = None) -> Any:
    """TensorFlow and JAX: inputs of which a random share is 0 and the rest is scaled, so that the mean stays.

    Args:
        inputs: any shape and float type.
        seed: integer [2], the state of a Keras `SeedGenerator`.
        rate: share that is dropped, at most 0.99.
        noise_shape: size 1 for the axes on which elements are dropped together; None for the inputs' own size.

    Returns:
        Shape and type of the inputs.
    """
    shape = ops.shape(inputs)
    bits = random_words(shape if noise_shape is None else _drawn(shape, noise_shape), seed)
    keep = bits >= ops.convert_to_tensor(round(rate * _WORDS), "uint32")
    return ops.where(keep, inputs * ops.cast(1 / (1 - rate), inputs.dtype), ops.zeros((), inputs.dtype))


def random_words(shape: Sequence[Any], seed: Any) -> Any:
    """Uniform random integers of 32 bits: a hash of each element's number, with two keys made of the seed.

    The hash is of the two rounds found by https://github.com/skeeto/hash-prospector (issue 19); the second key between
    them gives each seed a sequence of its own, instead of another place in the same one.

    Args:
        shape: of ints, or of integer scalars where TensorFlow does not know a size.
        seed: integer [2].

    Returns:
        uint32 of that shape.
    """
    seed = ops.cast(seed, "uint32")
    first = _hash(seed[0] + _hash(seed[1] * _word(0x9E3779B9) + _word(0x85EBCA6B), _word(0)), _word(0))
    second = _hash(first + seed[1], _word(0))
    numbers = ops.cast(ops.arange(functools.reduce(operator.mul, shape, 1), dtype="int32"), "uint32")
    return ops.reshape(_hash(numbers * _word(0x9E3779B9) + first, second), shape)


def _hash(words: Any, key: Any) -> Any:
    words = ops.bitwise_xor(words, ops.right_shift(words, _word(16))) * _word(0x21F0AAAD) + key
    words = ops.bitwise_xor(words, ops.right_shift(words, _word(15))) * _word(0xD35A2D97)
    return ops.bitwise_xor(words, ops.right_shift(words, _word(15)))


def _word(value: int) -> Any:
    return ops.convert_to_tensor(value, "uint32")


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
        dropped = round(rate * _HALVES)
        draw, scale = lambda: _torch_mask(shape, dropped), _HALVES / (_HALVES - dropped)
    mask = draw() if kept is None else kept.next(draw)
    return inputs * mask.to(inputs.dtype).mul_(scale)


def _torch_mask(shape: Any, dropped: int) -> Any:
    """Bool, False with a probability of `dropped` / 65536."""
    import torch

    count = math.prod(shape)
    words = torch.randint(-(2**63), 2**63 - 1, ((count + 3) // 4,))
    return words.view(torch.int16)[:count].view(shape) >= dropped - _HALVES // 2


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
