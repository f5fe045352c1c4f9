"""A Transformer encoder trained from scratch."""

from __future__ import annotations

import keras
import keras_hub

from models import layers
from models.config import EncoderConfig

_SEGMENTS = 2
_INITIAL_STDDEV = 0.02  # BERT's, https://arxiv.org/abs/1810.04805


def build_encoder(config: EncoderConfig, *, vocabulary_size: int, max_length: int) -> keras.Model:
    """The encoder of a configuration, with fresh weights that depend on `keras.utils.set_random_seed` alone.

    Args:
        config: sizes, norms, positions.
        vocabulary_size: rows of the token embedding.
        max_length: positions that can be told apart, if they are learned.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each, to the tokens'
        states [B, L, width].
    """
    inputs = token_inputs()
    x = _embed(config, inputs, vocabulary_size, max_length)
    for index in range(config.num_layers):
        layer = keras_hub.layers.TransformerEncoder(
            intermediate_dim=config.feedforward_width or 4 * config.width,
            num_heads=config.num_heads,
            dropout=config.dropout,
            activation="gelu",
            layer_norm_epsilon=1e-6,
            kernel_initializer="glorot_uniform",  # 0.02 would leave narrow layers near zero
            normalize_first=config.norm == "pre",
            name=f"transformer_layer_{index}",
        )
        layer.build(x.shape)
        layers.adopt(layer, rotary=config.positions == "rotary")
        x = layer(x, padding_mask=inputs["padding_mask"])
    if config.norm == "pre":
        x = keras.layers.LayerNormalization(epsilon=1e-6, name="final_layer_norm")(x)
    return keras.Model(inputs, x, name="encoder")


def token_inputs() -> dict[str, keras.KerasTensor]:
    """The inputs of every Transformer here: int32 [B, L], B and L free."""
    names = ("token_ids", "padding_mask", "segment_ids")
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=_INITIAL_STDDEV)


def _embed(
    config: EncoderConfig, inputs: dict[str, keras.KerasTensor], vocabulary_size: int, max_length: int
) -> keras.KerasTensor:
    """Token, segment and (if learned) position embeddings, normalized: [B, L, width]."""

    def table(rows: int, name: str) -> keras.layers.Embedding:
        return keras.layers.Embedding(rows, config.width, embeddings_initializer=_initializer(), name=name)

    tokens = table(vocabulary_size, "token_embedding")(inputs["token_ids"])
    parts = [tokens, table(_SEGMENTS, "segment_embedding")(inputs["segment_ids"])]
    if config.positions == "learned":
        positions = keras_hub.layers.PositionEmbedding(
            sequence_length=max_length, initializer=_initializer(), name="position_embedding"
        )
        parts.append(positions(tokens))
    x = keras.layers.Add(name="embeddings_add")(parts)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="embeddings_layer_norm")(x)
    x = layers.LeanDropout(config.dropout, name="embeddings_dropout")(x)
    return _mix(config, x, inputs["padding_mask"]) if config.kernel_size > 1 else x


def _mix(config: EncoderConfig, x: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
    """Adds what a token's neighbours say of it, by a convolution: [B, L, width] to the same.

    Attention must learn from the data that words stand beside each other; where there are few, it does not, and a
    convolution (Kim 2014, https://aclanthology.org/D14-1181) gives it to begin with.
    """
    mask = keras.ops.expand_dims(keras.ops.cast(padding_mask, x.dtype), -1)
    convolution = keras.layers.Conv1D(
        config.width, config.kernel_size, padding="same", activation="gelu", name="neighbours"
    )
    near = layers.LeanDropout(config.dropout, name="neighbours_dropout")(convolution(x * mask))
    mixed = keras.layers.Add(name="neighbours_add")([x, near])
    return keras.layers.LayerNormalization(epsilon=1e-6, name="neighbours_layer_norm")(mixed)
