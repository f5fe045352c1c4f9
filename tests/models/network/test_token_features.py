from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.network import token_features
from models.network.token_features import BigramRows, PositionInWord, SharedToken


def test_a_tokens_place_in_its_word() -> None:
    # Ids 4 and above continue a word: 1 | 2 4 5 | 3 4 | 1 and padding.
    place = PositionInWord([False] * 4 + [True] * 2)
    ids = np.array([[1, 2, 4, 5, 3, 4, 1, 0, 0], [1, 2, 4, 0, 0, 0, 0, 0, 0]], "int32")
    expected = [[0, 1, 3, 2, 1, 2, 0, 0, 0], [0, 1, 2, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(place(ids), expected)
    again = PositionInWord.from_config(place.get_config())
    np.testing.assert_array_equal(again(ids), expected)


def adapted(rows: int, *texts: list[int]) -> BigramRows:
    bigrams = BigramRows(rows, dtype="int32")
    bigrams.build((None, None))
    lengths = [len(text) for text in texts]
    bigrams.adapt(np.concatenate(texts).astype("int32"), np.cumsum([0, *lengths[:-1]]))
    return bigrams


def test_a_pair_that_was_often_seen_has_a_row_of_its_own() -> None:
    often, seldom = [2, 7, 8, 3], [2, 9, 8, 3]
    bigrams = adapted(4096, *[often] * token_features.MIN_PAIR_COUNT, *[seldom] * (token_features.MIN_PAIR_COUNT - 1))
    rows = np.array(bigrams(np.array([[2, 7, 8, 3, 0], [2, 9, 8, 3, 0], [8, 3, 2, 7, 8]], "int32")))
    # (nothing, 2), (2, 7), (7, 8), (8, 3)
    assert len(set(rows[0, :4])) == 4
    assert 0 not in rows[0, :4]
    # Too rare: (2, 9) and (9, 8); only across the end of a row: (3, 2).
    assert rows[1].tolist() == [rows[0, 0], 0, 0, rows[0, 3], 0]
    assert rows[2].tolist() == [0, rows[0, 3], 0, rows[0, 1], rows[0, 2]]


def test_before_it_is_adapted_a_layer_knows_no_pair() -> None:
    assert not np.array(BigramRows(16)(np.array([[0, 1, 2]], "int32"))).any()


def test_of_two_pairs_with_one_hash_the_commoner_has_the_row() -> None:
    # Two rows, one of them for unknown pairs.
    bigrams = adapted(2, *[[4, 5]] * 6, *[[6, 5]] * 9, *[[7]] * 20)
    rows = np.array(bigrams(np.array([[4, 5], [6, 5], [7, 7]], "int32")))
    assert rows.tolist() == [[0, 0], [0, 0], [1, 0]]


def test_pairs_are_counted_alike_in_one_block_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 200_000, 3000).astype("int32") % 40 + 199_950
    starts = np.unique(np.concatenate([[0], generator.integers(0, 3000, 300)]))
    pairs, counts = token_features._count_pairs(ids, starts)
    monkeypatch.setattr(token_features, "_BLOCK", 7)
    again, same = token_features._count_pairs(ids, starts)
    np.testing.assert_array_equal(pairs, again)
    np.testing.assert_array_equal(counts, same)
    assert counts.sum() == len(ids)
    begins = {0: 0} | {int(start): 0 for start in starts}
    expected = Counter((begins.get(i, int(ids[i - 1])), int(ids[i])) for i in range(len(ids)))
    assert dict(zip(map(tuple, pairs.T.tolist()), counts.tolist(), strict=True)) == expected


def test_pairs_of_the_largest_vocabulary_have_rows_in_the_table() -> None:
    ids = np.full(60, 199_999, "int32")
    bigrams = adapted(1000, ids.tolist())
    rows = np.array(bigrams(ids[None, :3]))
    assert 0 < rows[0, 1] == rows[0, 2] < 1000
    again = BigramRows.from_config(bigrams.get_config())
    again.build((None, None))
    again.set_weights(bigrams.get_weights())
    np.testing.assert_array_equal(again(ids[None, :3]), rows)


def test_shared_tokens_are_those_of_both_texts() -> None:
    ids = np.array([[1, 5, 6, 7, 2, 6, 8, 5, 2, 0, 0], [1, 5, 5, 2, 6, 2, 0, 0, 0, 0, 0]], np.int32)
    segments = np.array([[0] * 5 + [1] * 4 + [0] * 2, [0] * 4 + [1] * 2 + [0] * 5], np.int32)
    shared = np.array(SharedToken((0, 1, 2, 3))(ids, segments))
    assert shared.tolist() == [[0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0], [0] * 11]
    again = SharedToken.from_config({"name": "again", "special_ids": (0, 1, 2, 3)})
    assert np.array(again(ids, segments)).tolist() == shared.tolist()
