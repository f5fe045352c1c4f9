"""What an encoder from scratch sees of a token apart from its id: its position in its word, and the token before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

POSITIONS_IN_WORD = 4
"""Values of `PositionInWord`."""

MIN_PAIR_COUNT = 3
"""How often a pair of tokens must occur to get a row of a table; for word pieces see `vocabulary_training`."""

_BLOCK = 2**22  # tokens that are counted at once
_HASH_FACTOR = 9973  # a prime, so that it shares no factor with the number of rows


class PositionInWord(keras.layers.Layer):
    """A token's position in its word: 0 for a whole word, 1 for the first piece, 3 for one between, 2 for the last.

    Args:
        continues: bool [V], by token id: the token continues a word that another one began.
    """

    def __init__(self, continues: Sequence[bool], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.continues = np.asarray(continues, np.int32)

    def call(self, token_ids: Any) -> Any:
        """Int32 [B, L] to the same."""
        continues = ops.take(self.continues, token_ids)
        next_continues = ops.pad(continues[:, 1:], [[0, 0], [0, 1]])
        return 2 * continues + next_continues


class SharedToken(keras.layers.Layer):
    """1 for a token that the other of two texts has, too, else 0; special tokens and padding are never shared.

    Args:
        special_ids: ids of the special tokens and of padding.
    """

    def __init__(self, special_ids: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.special_ids = tuple(special_ids)

    def call(self, token_ids: Any, segment_ids: Any, attention_mask: Any | None = None) -> Any:
        """Int32 [B, L] each, to int32 [B, L]; `attention_mask` [B, L, L]: 0 between tokens of different rows."""
        same = ops.equal(ops.expand_dims(token_ids, 2), ops.expand_dims(token_ids, 1))
        if attention_mask is not None:
            same = ops.logical_and(same, ops.cast(attention_mask, "bool"))
        across = ops.not_equal(ops.expand_dims(segment_ids, 2), ops.expand_dims(segment_ids, 1))
        shared = ops.max(ops.cast(ops.logical_and(same, across), "int32"), axis=2)
        for special in self.special_ids:
            shared = shared * ops.cast(ops.not_equal(token_ids, special), "int32")
        return shared


class BigramRows(keras.layers.Layer):
    """Maps each token and the one before it to a row of a table; row 0 is for pairs that `adapt` saw too rarely.

    A pair's hash names its row. A row belongs to one pair, so two pairs never share one. The owners of the rows are
    weights that are not trained, so that they are exported and restored with the others.

    Args:
        rows: of the table, at least 2.
    """

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Two ids per row; no pair has negative ones. Float, since not every device keeps integer variables."""
        self.pairs = self.add_weight(
            shape=(2, self.rows),
            initializer=keras.initializers.Constant(-1.0),
            dtype="float32",
            autocast=False,
            trainable=False,
            name="pairs",
        )

    def adapt(self, token_ids: np.ndarray, starts: np.ndarray) -> None:
        """Gives rows to the pairs that occur at least `MIN_PAIR_COUNT` times; of two with one hash, to the commoner.

        Args:
            token_ids: int32 [T], the rows' tokens one row after the other.
            starts: int64 [N], where each row begins.
        """
        pairs, counts = _count_pairs(token_ids, starts)
        kept = counts >= MIN_PAIR_COUNT
        # Ascending, so that the commonest is written last; equal counts are in the order of their ids.
        pairs = pairs[:, kept][:, np.argsort(counts[kept], kind="stable")]
        owners = np.full((2, self.rows), -1.0, np.float32)
        owners[:, self._row(pairs[0], pairs[1])] = pairs
        self.pairs.assign(owners)

    def call(self, token_ids: Any, positions: Any | None = None) -> Any:
        """Int32 [B, L] to int32 [B, L], from 0 to `rows` - 1. The token before the first one counts as id 0.

        `positions` [B, L]: 0 for the first token of a row, where several rows share a line.
        """
        before = ops.pad(token_ids[:, :-1], [[0, 0], [1, 0]])
        if positions is not None:
            before = before * ops.cast(positions > 0, "int32")
        row = self._row(before, token_ids)
        first, second = ops.unstack(ops.cast(self.pairs, "int32"), axis=0)
        known = ops.logical_and(ops.equal(ops.take(first, row), before), ops.equal(ops.take(second, row), token_ids))
        return ops.where(known, row, 0)

    def _row(self, before: Any, token_ids: Any) -> Any:
        # The largest vocabulary, 200,000, times the factor is below 2**31.
        return (before * _HASH_FACTOR + token_ids) % (self.rows - 1) + 1


def _count_pairs(token_ids: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs of a token and the one after it, [2, P], ascending, and how often each occurs, [P]."""
    keys: np.ndarray = np.empty(0, np.int64)
    counts: np.ndarray = np.empty(0, np.float64)
    for begin in range(0, len(token_ids), _BLOCK):
        block = np.asarray(token_ids[begin : begin + _BLOCK], np.int64)
        before = np.concatenate([token_ids[begin - 1 : begin] if begin else [0], block[:-1]]).astype(np.int64)
        before[starts[(starts >= begin) & (starts < begin + len(block))] - begin] = 0
        block_keys, block_counts = np.unique(before << 32 | block, return_counts=True)
        keys, indices = np.unique(np.concatenate([keys, block_keys]), return_inverse=True)
        counts = np.bincount(indices, np.concatenate([counts, block_counts]), len(keys))
    return np.stack([keys >> 32, keys & (2**32 - 1)]), counts
