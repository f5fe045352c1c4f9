"""A linear model whose logits are added to an encoder's: wide and deep (https://arxiv.org/abs/1606.07792).

With a few thousand rows, an encoder from scratch learns less from them than a linear model of n-grams. So the linear
model is fitted first (`models.training.start.surface_fit`), and the encoder learns what it does not know. A pretrained
encoder learns as if it were alone. In the end the eval rows decide how much the linear model's logits count
(`models.training.fusion`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from models.network.surface_features import DENSE_FEATURES, TINY, pair_features, text_rows

MOST_OUTPUTS = 200
"""With more labels, fitting would take too long."""
MOST_WEIGHTS = 1_000_000
"""Of the table of pairs: with many labels it has fewer rows."""
MOST_TOKEN_WEIGHTS = 10_000_000
"""Of the table of tokens: a larger one, of many labels and a large vocabulary, would weigh more than its worth."""
SPELLING_SIZE = 64
"""Size of the vectors that tell how alike the spelling of two tokens is."""


class Surface(keras.layers.Layer):
    """The logits of a linear model of a row's tokens; 0 in training.

    In training it is silent, because it has been fitted to the very rows: the training step adds the logits of a linear
    model that has not seen the row instead. Its weights are not trained by gradients.

    Args:
        outputs: number of logits.
        vocabulary: number of tokens.
        pairs: most rows for pairs of neighbouring tokens.
        two_texts: whether a row is a pair of texts.
    """

    def __init__(self, outputs: int, vocabulary: int, pairs: int, two_texts: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outputs, self.vocabulary, self.two_texts = outputs, vocabulary, two_texts
        most = min(pairs, MOST_WEIGHTS // outputs)
        # A prime number, because hashes are taken modulo it. Of two texts, a pair has a row where both have it and
        # another where one has it.
        self.pairs = _prime(most // 2 if two_texts else most)

    def build(self, shape: Any = None) -> None:
        """All weights are 0 until they are fitted: then the layer adds nothing."""

        def weight(name: str, *shape: int) -> Any:
            return self.add_weight(
                shape=shape, initializer="zeros", dtype="float32", autocast=False, trainable=False, name=name
            )

        if self.two_texts:
            self.table = weight("table", 2 * (self.vocabulary + self.pairs), self.outputs)
            self.idf = weight("idf", self.vocabulary + self.pairs)
            self.numbers = weight("numbers", self.vocabulary)
            self.spelling = weight("spelling", self.vocabulary, SPELLING_SIZE)
            self.dense = weight("dense", DENSE_FEATURES, self.outputs)
        else:
            # A row's weights times its IDF, and the square of its IDF in multiples of `square`, so that one table with
            # one scale can hold both when it is quantized.
            self.table = weight("table", self.vocabulary + self.pairs, self.outputs + 1)
            self.square = weight("square")
        self.bias = weight("bias", self.outputs)

    def set_weights_of_rows(self, rows: np.ndarray, idf: np.ndarray) -> None:
        """Sets the table: the weights [R, outputs] of its rows, and their IDF [R]."""
        if self.two_texts:
            self.table.assign(rows)
            return
        weighted, square = rows * idf[:, None], np.square(idf)
        unit = float(square.max() / (np.abs(weighted).max() or 1.0)) or 1.0
        self.table.assign(np.column_stack([weighted, square / unit]))
        self.square.assign(unit)

    def rescale(self, factor: float) -> None:
        """Multiplies the layer's logits by a number."""
        self.table.assign(self.table * factor)
        self.bias.assign(self.bias * factor)
        if self.two_texts:
            self.dense.assign(self.dense * factor)
        else:  # the table's squares must stay what they are, in the scale that it has now
            self.square.assign(self.square / (factor or 1.0))

    def call(self, token_ids: Any, padding_mask: Any, segment_ids: Any, training: bool = False) -> Any:
        """Int32 [B, L] each, to float32 logits [B, outputs]."""
        if training:
            return ops.zeros((ops.shape(token_ids)[0], self.outputs), "float32")
        if self.two_texts:
            features = pair_features(token_ids, padding_mask, segment_ids, self.idf, self.spelling, self.numbers)
            found = ops.take(self.table, features.rows, axis=0) * ops.expand_dims(features.values, 2)
            return ops.sum(found, axis=1) + ops.matmul(features.dense, self.dense) + self.bias
        rows, mask = text_rows(token_ids, padding_mask, self.vocabulary, self.pairs)
        sums = ops.sum(ops.take(self.table, rows, axis=0) * ops.expand_dims(mask, 2), axis=1)
        return sums[:, : self.outputs] * ops.rsqrt(sums[:, self.outputs :] * self.square + TINY) + self.bias

    def weighted(self, token_ids: Any, padding_mask: Any, weights: Any) -> Any:
        """The logits [B, outputs] of one text whose tokens have weights [B, L] from 0 to 1, as a sum over its tokens:
        the length of its vector stays that of the whole text."""
        rows, mask = text_rows(token_ids, padding_mask, self.vocabulary, self.pairs)
        found = ops.take(self.table, rows, axis=0) * ops.expand_dims(mask, 2)
        before = ops.pad(weights[:, :-1], [[0, 0], [1, 0]], constant_values=1.0)
        own = ops.expand_dims(ops.concatenate([weights, weights * before], axis=1), 2)
        length = ops.rsqrt(ops.sum(found[..., self.outputs :], axis=1) * self.square + TINY)
        return ops.sum(found[..., : self.outputs] * own, axis=1) * length + self.bias

    def compute_output_spec(self, token_ids: Any, *_: Any, **__: Any) -> keras.KerasTensor:
        """Float32 under every policy."""
        return keras.KerasTensor((token_ids.shape[0], self.outputs), dtype="float32")


def _prime(most: int) -> int:
    """The largest prime number of at most `most`; 2 for a lower one."""
    candidates = range(max(most, 2), 1, -1)
    return next(n for n in candidates if all(n % divisor for divisor in range(2, int(n**0.5) + 1)))


def find_surface(model: keras.Model) -> Surface | None:
    """The model's linear part; None if it has none."""
    return next((layer for layer in model.layers if isinstance(layer, Surface)), None)
