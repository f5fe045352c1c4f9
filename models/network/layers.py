"""What Transom's Transformers do differently from Keras's layers: attention's mask, dropout's random bits, pooling.

Keras masks attention scores with -1e9, which leaves an int8 quantizer of the scores one step for all real values;
and its dropout draws 32 random bits per activation, which takes a fifth of a training step on a CPU. `replace_layers`
puts the replacements below into a model that is built already, so that an encoder from scratch and every KerasHub
backbone run the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from keras import ops

MASKED_SCORE = -30.0
"""Score of a padded key relative to the first key: exp(-30) = 1e-13 vanishes beside 1 in float32."""

PLACES = 4
"""Values of `PlaceInWord`."""

MIN_COUNT = 3
"""How often a pair of tokens must occur to be worth a row of a table; of pieces see `vocabulary_training`."""

_BLOCK = 2**22  # tokens that are counted at once
_VALUES = 2**16
_HASH_FACTOR = 9973  # a prime, so that it shares no factor with the table's rows


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor | None, masked_score: float = MASKED_SCORE) -> tf.Tensor:
    """Softmax over the keys, in float32, in which padded keys get no weight.

    Scores are taken relative to the first key's, which is always a token and never padding. So the largest score
    that counts is at least 0 whatever the level that a checkpoint's scores happen to have, and `masked_score` need
    not be large.

    Args:
        scores: [B, N, T, S], any float type.
        mask: bool, broadcastable to [B, N, T, S]; False where the key is padding.
        masked_score: what stands in for the score of a padded key.

    Returns:
        [B, N, T, S], the type of `scores`.
    """
    wide = ops.cast(scores, "float32")
    # Softmax does not see a shift, so the shift needs no gradient.
    wide = wide - ops.stop_gradient(wide[..., :1])
    if mask is not None:
        # In sums and products, for LiteRT's fast kernels have no selection: one in each layer costs it a tenth.
        kept = ops.cast(mask, "float32")
        wide = wide * kept + (1.0 - kept) * masked_score
    return ops.cast(ops.softmax(wide, axis=-1), scores.dtype)


@keras.saving.register_keras_serializable(package="transom")
class MaskedAttention(keras.layers.MultiHeadAttention):
    """Keras's multi-head attention with `masked_softmax`, and rotary positions if `rotary` is set."""

    rotary: keras_hub.layers.RotaryEmbedding | None = None

    def _compute_attention(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The method that Keras means to be overridden: [B, T, N, H] queries, [B, S, N, H] keys and values."""
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        query = ops.multiply(query, ops.cast(self._inverse_sqrt_key_dim, query.dtype))
        # Keras's equation has the key first, and so transposes what it gets.
        (keys, queries), result = _operands(self._dot_product_equation)
        scores = ops.einsum(f"{queries},{keys}->{result}", query, key)
        if attention_mask is not None:
            attention_mask = ops.expand_dims(attention_mask, 1)
        weights = masked_softmax(scores, attention_mask)
        kept = self._dropout_layer(weights, training=training)
        return ops.einsum(self._combine_equation, kept, value), weights


def _operands(equation: str) -> tuple[list[str], str]:
    """The subscripts of an einsum: of its operands, and of its result."""
    operands, result = equation.split("->")
    return operands.split(","), result


@keras.saving.register_keras_serializable(package="transom")
class MaskedSoftmax(keras.layers.Softmax):
    """`masked_softmax` as the layer that KerasHub's DeBERTa-v3 attention holds."""

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """[B, N, T, S] to the same; see `masked_softmax`."""
        return masked_softmax(inputs, None if mask is None else ops.cast(mask, "bool"))


@keras.saving.register_keras_serializable(package="transom")
class LeanDropout(keras.layers.Dropout):
    """Dropout that spends 16 random bits per activation instead of 32.

    The rate is rounded to 1/65536 (0.1 becomes 0.10001); survivors are scaled by the rounded rate, so the expectation
    is exact.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Any shape and float type, kept."""
        dropped = round(self.rate * _VALUES)
        if not training or not dropped:
            return inputs
        keep = random_halves(tf.shape(inputs), self.seed_generator.next()) >= dropped
        scale = _VALUES / (_VALUES - dropped)
        return tf.where(keep, inputs * tf.cast(scale, inputs.dtype), tf.zeros([], inputs.dtype))


def random_halves(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Uniform random integers of 16 bits, two from each random word.

    Args:
        shape: int32 [rank].
        seed: integer [2], the state of a Keras `SeedGenerator`.

    Returns:
        int32 of that shape, 0 to 65535.
    """
    count = tf.reduce_prod(shape)
    # XLA takes 32-bit seeds only; Keras keeps 64-bit ones.
    short_seed = tf.cast(tf.math.floormod(seed, tf.int32.max), tf.int32)
    words = tf.random.stateless_uniform([(count + 1) // 2], seed=short_seed, minval=None, maxval=None, dtype=tf.int32)
    halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
    return tf.cast(tf.reshape(halves, shape), tf.int32)


@keras.saving.register_keras_serializable(package="transom")
class PlaceInWord(keras.layers.Layer):
    """Where in its word a token stands: 0 a whole word, 1 its first piece, 3 one between, 2 its last.

    Args:
        continues: bool [V], by token id: the token goes on with a word that another began.
    """

    def __init__(self, continues: Sequence[bool], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.continues = np.asarray(continues, np.int32)

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Int32 [B, L] to the same."""
        here = ops.take(self.continues, token_ids)
        following = ops.pad(here[:, 1:], [[0, 0], [0, 1]])
        return 2 * here + following

    def get_config(self) -> dict[str, object]:
        """Keras's protocol."""
        return {**super().get_config(), "continues": self.continues.tolist()}


@keras.saving.register_keras_serializable(package="transom")
class Bigrams(keras.layers.Layer):
    """Each token with the one before it as a row of a table; row 0 for a pair that `adapt` did not see often.

    A pair has the row that its hash names, if it is the pair that was given this row: so two pairs never share one.
    What the rows stand for are weights that are not trained, so that they are exported and restored with the others.

    Args:
        rows: of the table, at least 2.
    """

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Two ids for each row; no pair has negative ones. Float, since not every device keeps integer variables."""
        self.pairs = self.add_weight(
            shape=(2, self.rows),
            initializer=keras.initializers.Constant(-1.0),
            dtype="float32",
            autocast=False,
            trainable=False,
            name="pairs",
        )

    def adapt(self, token_ids: np.ndarray, starts: np.ndarray) -> None:
        """Gives rows to the pairs that occur at least `MIN_COUNT` times; of two with one hash, to the commoner.

        Args:
            token_ids: int32 [T], rows of tokens one after the other.
            starts: int64 [N], where each row begins.
        """
        pairs, counts = _count_pairs(token_ids, starts)
        kept = counts >= MIN_COUNT
        # Ascending, so that the commonest is written last; the order of equals is that of their ids.
        pairs = pairs[:, kept][:, np.argsort(counts[kept], kind="stable")]
        found = np.full((2, self.rows), -1.0, np.float32)
        found[:, self._row(pairs[0], pairs[1])] = pairs
        self.pairs.assign(found)

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Int32 [B, L] to int32 [B, L], from 0 to `rows` - 1. Before the first token stands id 0."""
        before = ops.pad(token_ids[:, :-1], [[0, 0], [1, 0]])
        row = self._row(before, token_ids)
        first, second = ops.unstack(ops.cast(self.pairs, "int32"), axis=0)
        known = ops.logical_and(ops.equal(ops.take(first, row), before), ops.equal(ops.take(second, row), token_ids))
        return ops.where(known, row, 0)

    def _row(self, before: Any, token_ids: Any) -> Any:
        # The largest vocabulary, 200,000, times the factor is below 2**31.
        return (before * _HASH_FACTOR + token_ids) % (self.rows - 1) + 1

    def get_config(self) -> dict[str, object]:
        """Keras's protocol."""
        return {**super().get_config(), "rows": self.rows}


def _count_pairs(token_ids: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of a token and the one after it, [2, P], ascending, and how often each occurs [P]."""
    keys: np.ndarray = np.empty(0, np.int64)
    counts: np.ndarray = np.empty(0, np.float64)
    for begin in range(0, len(token_ids), _BLOCK):
        here = np.asarray(token_ids[begin : begin + _BLOCK], np.int64)
        before = np.concatenate([token_ids[begin - 1 : begin] if begin else [0], here[:-1]]).astype(np.int64)
        before[starts[(starts >= begin) & (starts < begin + len(here))] - begin] = 0
        found, occurrences = np.unique(before << 32 | here, return_counts=True)
        keys, places = np.unique(np.concatenate([keys, found]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, occurrences]), len(keys))
    return np.stack([keys >> 32, keys & (2**32 - 1)]), counts


@keras.saving.register_keras_serializable(package="transom")
class Pooling(keras.layers.Layer):
    """One vector for a text: its first token's state, or the mean or the maximum over its tokens.

    Args:
        mode: "cls", "mean" or "max".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, states: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """States [B, L, D] and int32 padding_mask [B, L] to float32 [B, D]. A row of padding alone gives zeros."""
        if self.mode == "cls":
            return ops.cast(states[:, 0], "float32")
        mask = ops.expand_dims(ops.cast(padding_mask, "float32"), -1)
        if self.mode == "max":
            # What padding has is below all that a normalized state can be; -inf would be lost on a quantizer.
            highest = ops.max(ops.where(mask > 0, ops.cast(states, "float32"), MASKED_SCORE), axis=1)
            return highest * ops.max(mask, axis=1)
        total = ops.sum(ops.cast(states, "float32") * mask, axis=1)
        return total / ops.maximum(ops.sum(mask, axis=1), 1.0)

    def compute_output_spec(self, states: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
        """Float32 whatever the policy: the head is computed in float32."""
        return keras.KerasTensor((states.shape[0], states.shape[-1]), dtype="float32")

    def get_config(self) -> dict[str, object]:
        """Keras's protocol."""
        return {**super().get_config(), "mode": self.mode}


def replace_layers(model: keras.Layer, *, rotary: bool = False) -> None:
    """Gives the attention, DeBERTa's softmax and the dropout inside a built layer or model the behaviour above.

    The layers keep their variables, names and places; only their class changes, since KerasHub's layers construct
    Keras's by name and take no other.

    Args:
        model: a built layer or model.
        rotary: also turns queries and keys by their positions (RoFormer, https://arxiv.org/abs/2104.09864).
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.MultiHeadAttention:
            layer.__class__ = MaskedAttention
            if rotary:
                # Keras locks what is built; the layer has no variables that could be missed.
                layer._tracker.unlock()
                layer.rotary = keras_hub.layers.RotaryEmbedding(dtype=layer.dtype_policy, name="rotary")
                layer._tracker.lock()
        elif type(layer) is keras.layers.Dropout and layer.noise_shape is None:
            layer.__class__ = LeanDropout
        elif type(layer) is keras.layers.Softmax:
            layer.__class__ = MaskedSoftmax
