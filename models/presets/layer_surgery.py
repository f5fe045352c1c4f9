"""Gives the layers of a KerasHub backbone the attention and the dropout of `models.network`.

KerasHub's layers create Keras's by name and accept no others, so the classes of layers that are built already are
changed. This relies on private names of Keras and KerasHub; tests/models/presets/test_layer_surgery.py lists them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.network.attention import attend, attend_to_itself, masked_softmax, trains_in_one_product
from models.network.dropout import LeanDropout
from models.network.fused import FusedDense, FusedNorm


class MaskedAttention(keras.layers.MultiHeadAttention):
    """Keras's multi-head attention with `masked_softmax`; in training, self-attention with fewer products."""

    def call(self, query: Any, value: Any, *args: Any, training: bool | None = None, **given: Any) -> Any:
        """See Keras. KerasHub's layers give the mask by name, and Keras adds masks that are None."""
        mask = given.get("attention_mask")
        projections = (self._query_dense, self._key_dense, self._value_dense)
        asked = [*args, *(each for name, each in given.items() if name != "attention_mask")]
        plain = query is value and mask is not None and all(each is None for each in asked)
        plain = plain and not self._use_gate and self._sliding_window is None and self._value_dim == self._key_dim
        if training and plain and trains_in_one_product((*projections, self._output_dense)):
            return attend_to_itself(query, projections, self._output_dense, mask, self._dropout_layer)
        return super().call(query, value, *args, training=training, **given)

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
        elif type(layer) is keras.layers.Dense and layer.activation is not keras.activations.linear:
            layer.__class__ = FusedDense
        elif type(layer) is keras.layers.LayerNormalization:
            layer.__class__ = FusedNorm
