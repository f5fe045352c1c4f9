"""Gives the layers of a KerasHub backbone the attention and the dropout of `models.network`.

KerasHub's layers create Keras's by name and accept no others, so the classes of layers that are built already are
changed. This relies on private names of Keras and KerasHub; tests/models/presets/test_layer_surgery.py lists them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.network.attention import attend, masked_softmax
from models.network.dropout import LeanDropout


class MaskedAttention(keras.layers.MultiHeadAttention):
    """Keras's multi-head attention with `masked_softmax`."""

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        """The method that Keras means to be overridden: [B, T, N, H] queries, [B, S, N, H] keys and values."""
        return attend(query, key, value, attention_mask, self._dropout_layer)


class MaskedSoftmax(keras.layers.Softmax):
    """`masked_softmax` as the layer inside KerasHub's DeBERTa-v3 attention."""

    def call(self, inputs: Any, mask: Any | None = None) -> Any:
        """[B, N, T, S] to the same; see `masked_softmax`."""
        return masked_softmax(inputs, None if mask is None else ops.cast(mask, "bool"))


def replace_layers(model: keras.Layer) -> None:
    """Replaces attention, DeBERTa's softmax and dropout inside a built layer or model.

    Only the classes of the layers change: they keep their variables, names and order.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.MultiHeadAttention:
            layer.__class__ = MaskedAttention
        elif type(layer) is keras.layers.Dropout and layer.noise_shape is None:
            layer.__class__ = LeanDropout
        elif type(layer) is keras.layers.Softmax:
            layer.__class__ = MaskedSoftmax
