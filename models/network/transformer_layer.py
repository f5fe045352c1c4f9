"""One layer of the Transformer that is trained from scratch (https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
from keras import ops

from models.network.attention import attend, attend_to_itself, trains_in_one_product
from models.network.dropout import LeanDropout
from models.network.fused import FusedDense, FusedNorm


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention; for the arguments see `TransformerLayer`."""

    def __init__(
        self, width: int, num_heads: int, dropout: float, rotary: bool, initializer: Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.heads = (None, num_heads, width // num_heads)

        def projection(equation: str, shape: tuple[int | None, ...], bias_axes: str, name: str) -> keras.Layer:
            options = {"kernel_initializer": initializer.clone(), "dtype": self.dtype_policy, "name": name}
            return keras.layers.EinsumDense(equation, shape, bias_axes=bias_axes, **options)

        # Keras's letters, because the digest of a model contains them.
        names = ("query", "key", "value")
        self.query, self.key, self.value = (projection("abc,cde->abde", self.heads, "de", name) for name in names)
        self.dropout = LeanDropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.output_projection = projection("abcd,cde->abe", (None, width), "e", "attention_output")
        self.rotary = keras_hub.layers.RotaryEmbedding(dtype=self.dtype_policy, name="rotary") if rotary else None

    def build(self, states_shape: tuple[int | None, ...]) -> None:
        for projection in (self.query, self.key, self.value):
            projection.build(states_shape)
        self.output_projection.build((states_shape[0], *self.heads))

    def call(self, states: Any, mask: Any, training: bool = False) -> Any:
        """States [B, L, D] and a bool mask broadcastable to [B, L, L], False for padded keys, to [B, L, D]."""
        projections = (self.query, self.key, self.value)
        if training and trains_in_one_product((*projections, self.output_projection)):
            return attend_to_itself(states, projections, self.output_projection, mask, self.dropout, self.rotary)
        query, key, value = self.query(states), self.key(states), self.value(states)
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        return self.output_projection(attend(query, key, value, mask, self.dropout)[0])


class TransformerLayer(keras.layers.Layer):
    """Self-attention and a feed-forward block, each with dropout, a residual connection and a norm.

    The initial weights depend on the order of the sublayers: each initializer and each dropout draws its seed.

    Args:
        width: size of the states.
        num_heads: must divide the width.
        feedforward_width: size of the hidden layer of the feed-forward block.
        dropout: share of activations and of attention weights dropped in training.
        norm: "pre": normalize the input of each block; "post": its output, after the residual connection.
        rotary: rotate queries and keys by their positions (RoFormer, https://arxiv.org/abs/2104.09864).
    """

    def __init__(
        self, width: int, num_heads: int, feedforward_width: int, dropout: float, norm: str, rotary: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.feedforward_width, self.norm_first = feedforward_width, norm == "pre"
        layers, options = keras.layers, {"dtype": self.dtype_policy}
        glorot = keras.initializers.GlorotUniform()  # a stddev of 0.02 would leave narrow layers near zero
        self.attention = SelfAttention(
            width, num_heads, dropout, rotary, glorot.clone(), name="self_attention_layer", **options
        )
        self.attention_norm = FusedNorm(epsilon=1e-6, name="self_attention_layer_norm", **options)
        self.attention_dropout = LeanDropout(dropout, name="self_attention_dropout", **options)
        self.feedforward_norm = FusedNorm(epsilon=1e-6, name="feedforward_layer_norm", **options)
        self.feedforward_hidden = FusedDense(
            feedforward_width,
            "gelu",
            kernel_initializer=glorot.clone(),
            name="feedforward_intermediate_dense",
            **options,
        )
        self.feedforward_output = layers.Dense(
            width, kernel_initializer=glorot.clone(), name="feedforward_output_dense", **options
        )
        self.feedforward_dropout = LeanDropout(dropout, name="feedforward_dropout", **options)

    def build(self, states_shape: tuple[int | None, ...]) -> None:
        for layer in (self.attention, self.attention_norm, self.feedforward_norm, self.feedforward_hidden):
            layer.build(states_shape)
        self.feedforward_output.build((*states_shape[:-1], self.feedforward_width))

    def call(self, states: Any, padding_mask: Any, attention_mask: Any | None = None) -> Any:
        """States [B, L, D] to the same.

        Args:
            padding_mask: int32 [B, L], 0 for padding.
            attention_mask: int32 [B, L, L], 0 where a token does not see a key; instead of the padding mask.
        """
        mask = ops.expand_dims(padding_mask, 1) if attention_mask is None else attention_mask
        mask = ops.cast(mask, "bool")
        x = self.attention_norm(states) if self.norm_first else states
        x = self.attention_dropout(self.attention(x, mask)) + states
        states = x if self.norm_first else self.attention_norm(x)
        x = self.feedforward_norm(states) if self.norm_first else states
        x = self.feedforward_dropout(self.feedforward_output(self.feedforward_hidden(x))) + states
        return x if self.norm_first else self.feedforward_norm(x)

    def compute_output_shape(self, states_shape: tuple[int | None, ...], **_: Any) -> tuple[int | None, ...]:
        return states_shape
