"""A second pass of a pretrained encoder over a row of two texts, in which neither sees the other.

It relies on what KerasHub's layers accept (positions in `PositionEmbedding`, a mask in the Transformer layers) and on a
private name of Keras, which tests/models/presets/test_separate_pass.py checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import keras_hub
from keras import ops


def encode_separately(encoder: keras.Model, inputs: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    """The states [B, L, width] of the same layers, with the same weights.

    Args:
        encoder: what `load_backbone` gave.
        inputs: of `models.network.text_pairs.SeparateTexts`.
    """
    positions, attention = inputs["positions"], inputs["attention"]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, (keras_hub.layers.PositionEmbedding, keras_hub.layers.TokenAndPositionEmbedding)):
            kwargs["positions"] = positions
        elif "padding_mask" in kwargs:  # a Transformer layer
            kwargs["attention_mask"] = attention
        return layer(*args, **kwargs)

    # Either text is the first of its kind.
    given = {**inputs, "segment_ids": ops.zeros_like(inputs["texts"])}
    tensors = {name: given[name] for name in encoder.input}
    # What `keras.models.clone_model` does; that one accepts no tensors besides the model's inputs.
    states: keras.KerasTensor = encoder._run_through_graph(tensors, operation_fn=lambda layer: layer, call_fn=call)
    return states
