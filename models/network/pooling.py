"""From the states of a text's tokens to one vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.network.attention import MASKED_SCORE


class Pooling(keras.layers.Layer):
    """One vector for a text: its first token's state, or the mean or the maximum over its tokens.

    Args:
        mode: "cls", "mean" or "max".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, states: Any, padding_mask: Any) -> Any:
        """States [B, L, D] and int32 padding_mask [B, L] to float32 [B, D]. A row of padding alone gives zeros."""
        if self.mode == "cls":
            return ops.cast(states[:, 0], "float32")
        mask = ops.expand_dims(ops.cast(padding_mask, "float32"), -1)
        if self.mode == "max":
            # Padding gets a value below any that a normalized state can have; -inf would ruin a quantizer's range.
            highest = ops.max(ops.where(mask > 0, ops.cast(states, "float32"), MASKED_SCORE), axis=1)
            return highest * ops.max(mask, axis=1)
        return masked_mean(ops.cast(states, "float32"), mask)

    def compute_output_spec(self, states: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
        """Float32 under every policy: the head is computed in float32."""
        return keras.KerasTensor((states.shape[0], states.shape[-1]), dtype="float32")


def masked_mean(states: Any, mask: Any) -> Any:
    """Float32 [B, L, D] and [B, L, 1] of 0 and 1, to the mean [B, D] over the tokens; zeros if there are none."""
    total = ops.sum(states * mask, axis=1)
    return total / ops.maximum(ops.sum(mask, axis=1), 1.0)
