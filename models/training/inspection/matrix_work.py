"""How many floating-point operations the matrix products of a training step take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.network.transformer_layer import SelfAttention
from models.training.batches import Batch
from models.training.inspection.watched_layers import eager, watched_layers
from models.training.loop import Loop

_ATTENTIONS = (SelfAttention, keras.layers.MultiHeadAttention)


def step_flops(loop: Loop, batches: Sequence[Batch]) -> float:
    """Of the layers' kernels and of attention, forward and backward, padding included; an addition counts as one.

    The shapes are those of an eager forward pass. A product of activations [P, D] with a kernel [D, E] takes 2 P D E
    operations, and as many for the gradient of each of its two factors that needs one. Small products, such as those
    of a normalization or LoRA's, are left out.
    """
    return sum(_batch_flops(loop, batch) for batch in batches)


def _batch_flops(loop: Loop, batch: Batch) -> float:
    forward = backward = 0.0

    def add(layer: Any, path: str, tensors: list[tf.Tensor]) -> None:
        nonlocal forward, backward
        if not tensors:
            return
        shape = tensors[0].shape
        kernel = getattr(layer, "_kernel", None)
        if kernel is not None and len(shape) > 1:
            work = 2.0 * np.prod(kernel.shape) * np.prod(shape[: 2 if len(shape) > 2 else 1])
            forward += work
            backward += work * (2.0 if kernel.trainable else 1.0)
        if isinstance(layer, _ATTENTIONS) and len(shape) == 3:
            work = 4.0 * np.prod(shape) * shape[1]  # queries with keys, weights with values
            forward += work
            backward += 2.0 * work

    with eager(), watched_layers(add):
        loop.network(batch.features, training=False)
    return forward * (2.0 if loop.config.remat else 1.0) + backward
