"""One layer of the Transformer that is trained from scratch (https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import tensorflow as tf
from keras import ops

from models.network.attention import attend
from models.network.dropout import LeanDropout


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention over the tokens of a text.

    Args:
        num_heads: must divide the width.
        width: size of the states.
        dropout: share of the attention weights dropped in training.
        rotary: rotate queries and keys by their positions (RoFormer, https://arxiv.org/abs/2104.09864).
        initializer: of the kernels.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        *,
        dropout: float,
        rotary: bool,
        initializer: keras.initializers.Initializer,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)

        # The initial weights depend on the order in which initializers and dropouts are made: each draws its seed.
        def projection(equation: str, shape: tuple[int | None, ...], bias_axes: str, name: str) -> keras.Layer:
            kernel = initializer.clone()
            options = {"bias_axes": bias_axes, "kernel_initializer": kernel, "dtype": self.dtype_policy, "name": name}
            return keras.layers.EinsumDense(equation, output_shape=shape, **options)

        heads = (None, num_heads, width // num_heads)
        self.query, self.key, self.value = (
            projection("btd,dnh->btnh", heads, "nh", name) for name in ("query", "key", "value")
        )
        self.dropout = LeanDropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.output_projection = projection("btnh,nhd->btd", (None, width), "d", "attention_output")
        self.rotary = keras_hub.layers.RotaryEmbedding(dtype=self.dtype_policy, name="rotary") if rotary else None
        self.heads = heads

    def build(self, states_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        for projection in (self.query, self.key, self.value):
            projection.build(states_shape)
        self.output_projection.build((states_shape[0], *self.heads))

    def call(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """States [B, L, D] and a mask broadcastable to [B, L, L], bool, False for padded keys, to [B, L, D]."""
        query, key, value = self.query(states), self.key(states), self.value(states)
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        return self.output_projection(attend(query, key, value, mask, self.dropout)[0])


class TransformerLayer(keras.layers.Layer):
    """Self-attention and a feed-forward block, each with dropout, a residual connection and a norm.

    Args:
        width: size of the states.
        num_heads: must divide the width.
        feedforward_width: size of the hidden layer of the feed-forward block.
        dropout: share of activations dropped in training.
        norm: "pre": normalize the input of each block; "post": its output, the residual included.
        rotary: see `SelfAttention`.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        feedforward_width: int,
        *,
        dropout: float,
        norm: str,
        rotary: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        initializer = keras.initializers.GlorotUniform()  # a stddev of 0.02 would leave narrow layers near zero
        self.norm = norm
        self.feedforward_width = feedforward_width
        self.attention = SelfAttention(
            num_heads,
            width,
            dropout=dropout,
            rotary=rotary,
            initializer=initializer.clone(),
            dtype=self.dtype_policy,
            name="self_attention_layer",
        )
        self.attention_norm = self._norm("self_attention_layer_norm")
        self.attention_dropout = LeanDropout(dropout, dtype=self.dtype_policy, name="self_attention_dropout")
        self.feedforward_norm = self._norm("feedforward_layer_norm")
        self.feedforward_hidden = self._dense(feedforward_width, "gelu", initializer, "feedforward_intermediate_dense")
        self.feedforward_output = self._dense(width, None, initializer, "feedforward_output_dense")
        self.feedforward_dropout = LeanDropout(dropout, dtype=self.dtype_policy, name="feedforward_dropout")

    def _norm(self, name: str) -> keras.Layer:
        return keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name=name)

    def _dense(
        self, units: int, activation: str | None, initializer: keras.initializers.Initializer, name: str
    ) -> keras.Layer:
        kernel = initializer.clone()
        return keras.layers.Dense(units, activation, kernel_initializer=kernel, dtype=self.dtype_policy, name=name)

    def build(self, states_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        for layer in (self.attention, self.attention_norm, self.feedforward_norm, self.feedforward_hidden):
            layer.build(states_shape)
        self.feedforward_output.build((*states_shape[:-1], self.feedforward_width))

    def call(self, states: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """States [B, L, D] and int32 padding_mask [B, L] (0 for padding) to states [B, L, D]."""
        mask = ops.expand_dims(ops.cast(padding_mask, "bool"), 1)
        before = self.norm == "pre"
        x = self.attention_norm(states) if before else states
        x = self.attention_dropout(self.attention(x, mask)) + states
        states = x if before else self.attention_norm(x)
        x = self.feedforward_norm(states) if before else states
        x = self.feedforward_dropout(self.feedforward_output(self.feedforward_hidden(x))) + states
        return x if before else self.feedforward_norm(x)

    def compute_output_shape(self, states_shape: tuple[int | None, ...], **_: Any) -> tuple[int | None, ...]:
        """That of the states."""
        return states_shape
