"""A Transformer encoder trained from scratch."""

from __future__ import annotations

import keras
import keras_hub

from models.config import EncoderConfig
from models.network.dropout import LeanDropout
from models.network.fused import FusedNorm
from models.network.token_features import POSITIONS_IN_WORD, BigramRows, PositionInWord, SharedToken
from models.network.transformer_layer import TransformerLayer
from tflite.host.tokenizer import Tokenizer

_SEGMENTS = 2
_INITIAL_STDDEV = 0.02  # BERT's, https://arxiv.org/abs/1810.04805


def build_encoder(config: EncoderConfig, tokenizer: Tokenizer, *, two_texts: bool = False) -> keras.Model:
    """The encoder of a configuration, with fresh weights that depend on `keras.utils.set_random_seed` alone.

    Args:
        config: sizes, norms, positions.
        tokenizer: decides the size of the token embedding, which tokens continue a word, and the number of learned
            positions.
        two_texts: whether a row is a pair of texts: then each token tells whether the other text has it.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each, to the tokens'
        states [B, L, width].
    """
    inputs = token_inputs()
    x = _embed(config, inputs, tokenizer, two_texts)
    for index in range(config.num_layers):
        layer = TransformerLayer(
            config.width,
            config.num_heads,
            config.feedforward_width or 4 * config.width,
            dropout=config.dropout,
            norm=config.norm,
            rotary=config.positions == "rotary",
            name=f"transformer_layer_{index}",
        )
        x = layer(x, inputs["padding_mask"])
    if config.norm == "pre":
        x = FusedNorm(epsilon=1e-6, name="final_layer_norm")(x)
    return keras.Model(inputs, x, name="encoder")


def token_inputs() -> dict[str, keras.KerasTensor]:
    """The inputs of every Transformer here: int32 [B, L], B and L free."""
    names = ("token_ids", "padding_mask", "segment_ids")
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=_INITIAL_STDDEV)


def _embed(
    config: EncoderConfig, inputs: dict[str, keras.KerasTensor], tokenizer: Tokenizer, two_texts: bool
) -> keras.KerasTensor:
    """The sum of a token's embeddings, normalized: [B, L, width].

    Besides its id, its segment and (if learned) its position, a token has two more embeddings. Its position in its
    word marks rare words, which consist of several pieces. Its bigram names it together with the token before it.
    """
    ids = inputs["token_ids"]

    def embed(rows: int, name: str, indices: keras.KerasTensor) -> keras.KerasTensor:
        name = f"{name}_embedding"
        return keras.layers.Embedding(rows, config.width, embeddings_initializer=_initializer(), name=name)(indices)

    tokens = embed(tokenizer.vocabulary_size, "token", ids)
    parts = [tokens, embed(_SEGMENTS, "segment", inputs["segment_ids"])]
    if any(tokenizer.continues):
        position_in_word = PositionInWord(tokenizer.continues, dtype="int32", name="place_in_word")
        parts.append(embed(POSITIONS_IN_WORD, "place", position_in_word(ids)))
    if two_texts:
        shared = SharedToken(tokenizer.special_ids, dtype="int32", name="shared_token")
        parts.append(embed(2, "shared", shared(ids, inputs["segment_ids"])))
    if config.bigrams:
        rows = config.bigrams + 1
        pairs = BigramRows(rows, dtype="int32", name="bigrams")(ids)
        # Dropped as a whole and more often than activations: most pairs are so rare that they would be memorized.
        rate = 1.0 - (1.0 - config.dropout) ** 2
        dropout = LeanDropout(rate, noise_shape=(None, None, 1), name="bigram_dropout")
        parts.append(dropout(embed(rows, "bigram", pairs)))
    if config.positions == "learned":
        positions = keras_hub.layers.PositionEmbedding(
            sequence_length=tokenizer.max_length, initializer=_initializer(), name="position_embedding"
        )
        parts.append(positions(tokens))
    x = keras.layers.Add(name="embeddings_add")(parts)
    x = FusedNorm(epsilon=1e-6, name="embeddings_layer_norm")(x)
    x = LeanDropout(config.dropout, name="embeddings_dropout")(x)
    return _convolve(config, x, inputs["padding_mask"]) if config.kernel_size > 1 else x


def _convolve(config: EncoderConfig, x: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
    """Adds a convolution over each token's neighbours: [B, L, width] to the same.

    Attention must learn from the data which words are next to each other. With little data it does not; a convolution
    (Kim 2014, https://aclanthology.org/D14-1181) has this from the start.
    """
    mask = keras.ops.expand_dims(keras.ops.cast(padding_mask, x.dtype), -1)
    convolution = keras.layers.Conv1D(
        config.width, config.kernel_size, padding="same", activation="gelu", name="neighbours"
    )
    neighbours = LeanDropout(config.dropout, name="neighbours_dropout")(convolution(x * mask))
    mixed = keras.layers.Add(name="neighbours_add")([x, neighbours])
    return FusedNorm(epsilon=1e-6, name="neighbours_layer_norm")(mixed)
