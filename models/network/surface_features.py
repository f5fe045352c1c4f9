"""What a linear model sees of a text, or of two: their tokens, and how far two texts share them.

All features are computed from token ids in the graph, so that the model that is served and the one on a phone have
them too. "Real" tokens are those that are neither padding nor special.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

DENSE_FEATURES = 38
"""Numbers that `pair_features` gives apart from the rows of the table."""

_HASH_FACTOR = 9973
TINY = 1e-6


class Features(NamedTuple):
    """A row's features: `rows` [B, K] int32 of a table, their `values` [B, K] float32 (a row may occur more than once;
    its values add up), and further numbers, `dense` [B, F] float32, F = 0 for single texts."""

    rows: Any
    values: Any
    dense: Any


def text_rows(token_ids: Any, padding_mask: Any, vocabulary: int, pairs: int) -> tuple[Any, Any]:
    """The rows of a text's tokens and of its pairs of neighbouring tokens.

    Args:
        token_ids, padding_mask: int32 [B, L].
        vocabulary: rows of tokens, which come first.
        pairs: rows of pairs, a prime number; a hash names a pair's row, and several pairs may share one.

    Returns:
        Int32 [B, 2 L], and their mask, float32.
    """
    rows = ops.concatenate([token_ids, vocabulary + _hashed(token_ids, pairs)], axis=1)
    return rows, ops.cast(ops.concatenate([padding_mask, padding_mask], axis=1), "float32")


def text_features(token_ids: Any, padding_mask: Any, idf: Any, vocabulary: int) -> Features:
    """The rows of `text_rows` with TF-IDF weights: `idf` float32 [R], 0 for a row that is not used."""
    rows, mask = text_rows(token_ids, padding_mask, vocabulary, len(idf) - vocabulary)
    values = ops.take(idf, rows) * mask
    return Features(rows, _normalized(values), ops.zeros_like(values[:, :0]))


def pair_features(
    token_ids: Any, padding_mask: Any, segment_ids: Any, idf: Any, spelling: Any, numbers: Any
) -> Features:
    """Tokens and pairs of neighbouring tokens that both texts have and that one has, how much of each text the other
    covers, and numbers that only one has.

    Args:
        token_ids, padding_mask, segment_ids: int32 [B, L]; segment 1 is the second text.
        idf: float32 [V + P], the weight of each token and then of each pair's hash: 0 for special tokens.
        spelling: float32 [V, D], unit vectors: tokens of similar spelling have similar ones; 0 for special tokens.
        numbers: float32 [V], 1 for tokens of digits.

    Returns:
        Row i is token i where both texts have it, row V + i where only one has it; the rows of pairs come after them,
        in the same order.
    """
    vocabulary = spelling.shape[0]
    pairs = idf.shape[0] - vocabulary
    weight = ops.take(idf, token_ids) * ops.cast(padding_mask, "float32")  # [B, L]
    real = ops.cast(weight > 0, "float32")
    first, second = real * ops.cast(segment_ids == 0, "float32"), real * ops.cast(segment_ids == 1, "float32")
    across = _outer(first, second) + _outer(second, first)  # [B, L, L], 1 between tokens of different texts
    same = ops.cast(ops.expand_dims(token_ids, 2) == ops.expand_dims(token_ids, 1), "float32")
    own, both = same * (1.0 - across), same * across  # 1 between equal tokens of one text, and of both
    both_pairs, length = _longer(both, both), real * _before(real) * _continues(segment_ids)
    shared, shared_pairs = ops.max(both, axis=2), ops.max(both_pairs, axis=2)  # [B, L], 1 where the other text has them
    weights = first * weight, second * weight
    hashed = _hashed(token_ids, pairs)
    pair_weight = length * ops.take(idf, vocabulary + hashed)
    rows = token_ids + ops.cast((1.0 - shared) * vocabulary, "int32")
    pair_rows = 2 * vocabulary + hashed + ops.cast((1.0 - shared_pairs) * pairs, "int32")
    values = _normalized(weight * _first_occurrences(same, real))
    pair_values = _normalized(pair_weight * _first_occurrences(_longer(same, same), length))

    covers = [*_coverage(shared, first, second), *_coverage(shared_pairs, first * length, second * length)]
    longer = length * _before(length)
    covers += _coverage(ops.max(_longer(both_pairs, both), axis=2), first * longer, second * longer)
    covers += _coverage(shared, *weights)
    vectors = ops.take(spelling, token_ids, axis=0) * ops.expand_dims(real, 2)
    alike = ops.max(ops.matmul(vectors, ops.transpose(vectors, (0, 2, 1))) * across, axis=2)
    covers += [*_coverage(alike, first, second), *_coverage(alike, *weights)]
    sums = [ops.sum(vectors * ops.expand_dims(side, 2), axis=1) for side in weights]
    tokens = [ops.sum(side, axis=1) for side in (first, second)]
    shorter, longer = ops.minimum(*tokens), ops.maximum(*tokens)
    dense = [
        *covers,
        *_rest(shared, *weights),
        *_rest(alike, *weights),
        cosine(*sums),
        _common_weight(both=both, first=weights[0], second=weights[1], same=same),
        shorter / ops.maximum(longer, 1.0),
        ops.log1p(tokens[0]) - ops.log1p(tokens[1]),
        ops.log1p(tokens[0] + tokens[1]),
    ]
    distinct, distinct_pairs = _first_occurrences(own, real), _first_occurrences(_longer(own, own), length)
    missing = ops.sum(distinct * (1.0 - shared) * ops.take(numbers, token_ids), axis=1)
    dense += [
        *_sets(distinct * first, distinct * second, shared),
        *_sets(distinct_pairs * first, distinct_pairs * second, shared_pairs),
        _sets(distinct * weights[0], distinct * weights[1], shared)[0],
        ops.minimum(missing, 1.0),
        ops.log1p(missing),
    ]
    both_rows, both_values = ops.concatenate([rows, pair_rows], axis=1), ops.concatenate([values, pair_values], axis=1)
    return Features(both_rows, both_values, ops.stack(dense, axis=1))


def _hashed(token_ids: Any, pairs: int) -> Any:
    """Int32 [B, L], a number below `pairs` for each token and the one before it."""
    # With a vocabulary of over 215,000 tokens the product may overflow; it wraps alike wherever the graph runs.
    return (_before(token_ids) * _HASH_FACTOR + token_ids) % pairs


def _outer(left: Any, right: Any) -> Any:
    return ops.expand_dims(left, 2) * ops.expand_dims(right, 1)


def _normalized(values: Any) -> Any:
    return values * ops.rsqrt(ops.sum(ops.square(values), axis=1, keepdims=True) + TINY)


def _first_occurrences(same: Any, real: Any) -> Any:
    """1 where a real token occurs for the first time in the two texts together, [B, L]."""
    earlier = ops.cast(ops.tril(ops.ones_like(same), -1), "float32")
    return real * (1.0 - ops.max(same * earlier, axis=2))


def _before(values: Any) -> Any:
    """The value of the token before, [B, L]; 0 for the first."""
    return ops.pad(values[:, :-1], [[0, 0], [1, 0]])


def _longer(sequences: Any, same: Any) -> Any:
    """Equal sequences that are longer by a token, [B, L, L]: 1 where two end with the same token."""
    return same * ops.pad(sequences[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]])


def _continues(segment_ids: Any) -> Any:
    """1 where a token and the one before it are in the same text, [B, L]."""
    return ops.cast(_before(segment_ids) == segment_ids, "float32")


def _share(hits: Any, weight: Any) -> Any:
    return ops.sum(hits * weight, axis=1) / (ops.sum(weight, axis=1) + TINY)


def _coverage(hits: Any, first: Any, second: Any) -> list[Any]:
    """The weighted share of the first text that is hit, that of the second, and the lower of the two; each [B]."""
    shares = _share(hits, first), _share(hits, second)
    return [*shares, ops.minimum(*shares)]


def _sets(first: Any, second: Any, shared: Any) -> list[Any]:
    """Of two texts' sets of tokens, as weights [B, L]: what both have of what there is (Jaccard), and the logarithms of
    what both have, what only the first has and what only the second has; each [B]."""
    both = ops.sum(first * shared, axis=1)
    only = [ops.sum(side * (1.0 - shared), axis=1) for side in (first, second)]
    return [both / (both + only[0] + only[1] + TINY), *(ops.log1p(part) for part in (both, *only))]


def _rest(hits: Any, first: Any, second: Any) -> list[Any]:
    """The logarithm of the weight that is not hit, in each text; each [B]."""
    missed = 1.0 - ops.clip(hits, 0.0, 1.0)
    return [ops.log1p(ops.sum(missed * side, axis=1)) for side in (first, second)]


def cosine(left: Any, right: Any) -> Any:
    """Float32 [B, D] each, to [B]; 0 where a vector is."""
    norms = ops.sum(ops.square(left), axis=1) * ops.sum(ops.square(right), axis=1)
    return ops.sum(left * right, axis=1) * ops.rsqrt(norms + TINY)


def _common_weight(*, both: Any, first: Any, second: Any, same: Any) -> Any:
    """The cosine of the two texts' TF-IDF vectors, [B]."""
    product = ops.sum(ops.expand_dims(first, 2) * both * ops.expand_dims(second, 1), axis=(1, 2))
    norms = [
        ops.sum(ops.expand_dims(side, 2) * same * ops.expand_dims(side, 1), axis=(1, 2)) for side in (first, second)
    ]
    return product * ops.rsqrt(norms[0] * norms[1] + TINY)
