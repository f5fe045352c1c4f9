"""A Transformer encoder trained from scratch."""

from __future__ import annotations

import keras
import keras_hub

from models.config import EncoderConfig
from models.network import layers
from tflite.host.tokenizer import Tokenizer

_SEGMENTS = 2
_INITIAL_STDDEV = 0.02  # BERT's, https://arxiv.org/abs/1810.04805


def build_encoder(config: EncoderConfig, tokenizer: Tokenizer) -> keras.Model:
    """The encoder of a configuration, with fresh weights that depend on `keras.utils.set_random_seed` alone.

    Args:
        config: sizes, norms, positions.
        tokenizer: decides the rows of the token embedding, which tokens go on with a word, and how many positions
            can be told apart, if they are learned.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each, to the tokens'
        states [B, L, width].
    """
    inputs = token_inputs()
    x = _embed(config, inputs, tokenizer)
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
        layers.replace_layers(layer, rotary=config.positions == "rotary")
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


def _embed(config: EncoderConfig, inputs: dict[str, keras.KerasTensor], tokenizer: Tokenizer) -> keras.KerasTensor:
    """The sum of a token's embeddings, normalized: [B, L, width].

    Beside itself, its segment and (if learned) its position, a token has its place in its word, which shows rare
    words for what they are: words of several pieces, whatever these are; and what it is with the token before it.
    """
    ids = inputs["token_ids"]

    def embed(rows: int, name: str, of: keras.KerasTensor) -> keras.KerasTensor:
        name = f"{name}_embedding"
        return keras.layers.Embedding(rows, config.width, embeddings_initializer=_initializer(), name=name)(of)

    tokens = embed(tokenizer.vocabulary_size, "token", ids)
    parts = [tokens, embed(_SEGMENTS, "segment", inputs["segment_ids"])]
    if any(tokenizer.continues):
        place = layers.PlaceInWord(tokenizer.continues, dtype="int32", name="place_in_word")
        parts.append(embed(layers.PLACES, "place", place(ids)))
    if config.bigrams:
        rows = config.bigrams + 1
        pairs = layers.Bigrams(rows, dtype="int32", name="bigrams")(ids)
        # Dropped as a whole, and oftener than activations: most pairs are so rare that they would be learned by heart.
        rate = 1.0 - (1.0 - config.dropout) ** 2
        dropout = keras.layers.Dropout(rate, noise_shape=(None, None, 1), name="bigram_dropout")
        parts.append(dropout(embed(rows, "bigram", pairs)))
    if config.positions == "learned":
        positions = keras_hub.layers.PositionEmbedding(
            sequence_length=tokenizer.max_length, initializer=_initializer(), name="position_embedding"
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
