"""Attention whose masked scores stay small enough for an int8 quantizer.

Keras masks attention scores with -1e9. An int8 quantizer of the scores then has one step left for all real values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from models.network.dropout import LeanDropout, drop
from models.network.fused import fuse, is_fusing

MASKED_SCORE = -30.0
"""Score of a padded key relative to the first key: exp(-30) = 1e-13 vanishes next to 1 in float32."""


def masked_softmax(scores: Any, mask: Any | None, masked_score: float = MASKED_SCORE) -> Any:
    """Softmax over the keys, in float32, in which masked keys get no weight.

    Scores are taken relative to one that is at most the largest unmasked score: that of the first key, which is always
    a token and never padding, or if the queries see different keys, the mean of the unmasked scores. So the largest
    unmasked score is at least 0, whatever the level of a checkpoint's scores, and `masked_score` need not be large.

    Args:
        scores: [B, N, T, S], any float type.
        mask: bool, [B, 1, 1, S] if all queries have the same keys, else [B, 1, T, S]; False if the key is not to be
            seen.
        masked_score: replaces the score of a masked key.

    Returns:
        [B, N, T, S], the type of `scores`.
    """
    wide = ops.cast(scores, "float32")
    # Sums and products, because LiteRT has no fast kernel for a selection: one per layer costs a tenth.
    kept = None if mask is None else ops.cast(mask, "float32")
    # Softmax is invariant to a shift, so the shift needs no gradient.
    if kept is None or kept.shape[-2] == 1:
        wide = wide - ops.stop_gradient(wide[..., :1])
    else:
        count = ops.maximum(ops.sum(kept, axis=-1, keepdims=True), 1.0)
        wide = wide - ops.stop_gradient(ops.sum(wide * kept, axis=-1, keepdims=True) / count)
    if kept is not None:
        wide = wide * kept + (1.0 - kept) * masked_score
    return ops.cast(ops.softmax(wide, axis=-1), scores.dtype)


def attend(
    query: Any,
    key: Any,
    value: Any,
    mask: Any | None,
    dropout: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """Scaled dot-product attention (https://arxiv.org/abs/1706.03762) with `masked_softmax`.

    Args:
        query: [B, T, N, H].
        key, value: [B, S, N, H].
        mask: bool, [B, 1, S] if all queries have the same keys, else [B, T, S]; False if the key is not to be seen.
        dropout: applied to the attention weights.

    Returns:
        The attended values [B, T, N, H] and the weights [B, N, T, S].
    """
    query = ops.multiply(query, ops.cast(1.0 / math.sqrt(query.shape[-1]), query.dtype))
    # Keras's order, the key first, would cost a transposition. Its letters (query abcd, key aecd) are kept,
    # because the digest of a model contains them (`models.saved.model_identity`).
    scores = ops.einsum("abcd,aecd->acbe", query, key)
    weights = masked_softmax(scores, None if mask is None else ops.expand_dims(mask, 1))
    return ops.einsum("acbe,aecd->abcd", dropout(weights), value), weights


def trains_in_one_product(layers: Sequence[keras.layers.EinsumDense]) -> bool:
    """Whether `attend_to_itself` can compute with these projections and this output. Not on JAX, where the joined
    kernels of a model that is divided over devices would have to be gathered."""
    return keras.backend.backend() != "jax" and all(layer.bias is not None for layer in layers)


def attend_to_itself(
    states: Any,
    projections: Sequence[keras.layers.EinsumDense],
    output: keras.layers.EinsumDense,
    mask: Any,
    dropout: Callable[[Any], Any],
    rotary: Callable[[Any], Any] | None = None,
) -> Any:
    """Self-attention as in `attend`, for training: fewer and larger products, and a mask that is only added.

    It differs in rounding alone. It is not for export: an int8 quantizer could not represent its masked scores.
    Measured on CPUs only.

    Args:
        states: [B, T, D].
        projections: of the queries, keys and values; kernels [D, N, H], biases [N, H].
        output: kernel [N, H, E], bias [E].
        mask: bool or 0 and 1, [B, 1, T] or [B, T, T]; False if the key is not to be seen.
        dropout: applied to the attention weights.
        rotary: applied to queries and keys, [B, T, N, H].

    Returns:
        [B, T, E].
    """
    shape = ops.shape(states)
    lines, length, width = shape[0], shape[1], states.shape[-1]
    heads, size = projections[0].bias.shape
    kernel = ops.concatenate([ops.reshape(layer.kernel, (width, heads * size)) for layer in projections], axis=1)
    bias = ops.concatenate([ops.reshape(layer.bias, (heads * size,)) for layer in projections])
    joined = ops.matmul(ops.reshape(states, (-1, width)), kernel) + bias
    joined = ops.reshape(joined, (lines, length, 3, heads, size))
    if rotary is None:
        query, key, value = ops.unstack(ops.transpose(joined, (2, 0, 3, 1, 4)), 3)
    else:
        query, key, value = ops.unstack(joined, 3, axis=2)
        query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (rotary(query), rotary(key), value))
    scale = 1.0 / math.sqrt(size)
    if not is_fusing():
        query, scale = query * ops.cast(scale, query.dtype), 1.0
    weights = _training_weights(_products(query, key), ops.expand_dims(mask, 1), dropout, scale)
    attended = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
    kernel = ops.reshape(output.kernel, (heads * size, -1))
    attended = ops.matmul(ops.reshape(attended, (-1, heads * size)), kernel) + output.bias
    return ops.reshape(attended, (lines, length, output.bias.shape[0]))


def _products(query: Any, key: Any) -> Any:
    """[B, N, T, H] and [B, N, S, H] to the products of each query and each key, [B, N, T, S]."""
    if is_fusing():  # on TensorFlow, which would write the transposed keys
        import tensorflow as tf

        return tf.matmul(query, key, transpose_b=True)
    return ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))


def _training_weights(scores: Any, mask: Any, dropout: Any, scale: float) -> Any:
    if is_fusing() and isinstance(dropout, LeanDropout) and dropout.drops:
        return fuse(_dropped_softmax, scores, mask, dropout.next_seed(), scale=scale, rate=dropout.rate)
    if is_fusing():
        return dropout(fuse(_added_softmax, scores, mask, scale=scale))
    return dropout(ops.cast(_added_softmax(ops.cast(scores, "float32"), mask, scale), scores.dtype))


def _added_softmax(scores: Any, mask: Any, scale: float) -> Any:
    scaled = scores if scale == 1.0 else scores * scale
    return ops.softmax(scaled + (ops.cast(mask, "float32") - 1.0) * 1e9, axis=-1)


def _dropped_softmax(scores: Any, mask: Any, seed: Any, scale: float, rate: float) -> Any:
    return drop(_added_softmax(scores, mask, scale), seed, rate)
