"""Attention whose masked scores stay small enough for an int8 quantizer.

Keras masks attention scores with -1e9. An int8 quantizer of the scores then has one step left for all real values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

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
