from __future__ import annotations

from collections import Counter

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from models.network import layers


def scores_and_mask() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 5, (3, 2, 7, 7)).astype("float32")
    mask = (np.arange(7) < np.array([[7], [4], [1]]))[:, None, None, :]
    return scores, mask


@pytest.mark.parametrize("level", [-200.0, -40.0, 0.0, 60.0])
def test_softmax_is_that_of_a_large_mask_constant_at_any_level_of_the_scores(level: float) -> None:
    scores, mask = scores_and_mask()
    scores = scores + level
    wide = np.where(mask, scores.astype("float64"), -1e9)
    exponents = np.exp(wide - wide.max(-1, keepdims=True))
    expected = exponents / exponents.sum(-1, keepdims=True)
    np.testing.assert_allclose(layers.masked_softmax(scores, mask), expected, atol=2e-6)


def test_softmax_gives_padding_no_weight_that_float32_could_see() -> None:
    scores, mask = scores_and_mask()
    # Padding that would win by far if it were not masked, over a row with nothing but the first token.
    scores[2, :, :, 1:] = 90.0
    weights = np.array(layers.masked_softmax(scores, mask))
    assert weights[~np.broadcast_to(mask, weights.shape)].max() < 1e-12
    assert np.isfinite(layers.masked_softmax(scores, np.zeros_like(mask))).all()


def test_softmax_keeps_the_type_and_computes_in_float32() -> None:
    scores, mask = scores_and_mask()
    weights = layers.masked_softmax(tf.cast(scores, tf.bfloat16), mask)
    assert weights.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(tf.reduce_sum(tf.cast(weights, tf.float32), -1), tf.float32), 1.0, atol=0.02)


def test_adopted_layers_compute_what_keras_computes() -> None:
    keras.utils.set_random_seed(0)
    block = keras_hub.layers.TransformerEncoder(32, 2, dropout=0.1, activation="gelu")
    states = np.random.default_rng(0).normal(size=(3, 6, 16)).astype("float32")
    mask = (np.arange(6) < np.array([[6], [4], [1]])).astype("int32")
    expected = np.array(block(states, padding_mask=mask))
    variables = [variable.path for variable in block.variables]
    layers.replace_layers(block)
    assert type(block._self_attention_layer) is layers.MaskedAttention
    assert [variable.path for variable in block.variables] == variables
    np.testing.assert_allclose(block(states, padding_mask=mask), expected, atol=2e-6)


def test_a_model_without_dropout_is_adopted_too() -> None:
    # Keras then takes a fused kernel, whose mask constant is another.
    block = keras_hub.layers.TransformerEncoder(32, 2, dropout=0.0)
    states = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    mask = np.array([[1] * 6, [1, 1, 0, 0, 0, 0]])
    expected = np.array(block(states, padding_mask=mask))
    layers.replace_layers(block)
    np.testing.assert_allclose(block(states, padding_mask=mask), expected, atol=2e-6)


def test_dropout_drops_its_share_and_keeps_the_expectation() -> None:
    layer = layers.LeanDropout(0.1, seed=3)
    dropped = np.array(layer(np.ones((400, 500), "float32"), training=True))
    assert set(np.unique(dropped)) == {0.0, np.float32(65536 / (65536 - 6554))}
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.003)
    assert dropped.mean() == pytest.approx(1.0, abs=0.003)
    # Rows, columns and neighbours (two share a random word) are independent.
    kept = dropped != 0
    assert (kept[:, ::2] & kept[:, 1::2]).mean() == pytest.approx(0.81, abs=0.005)
    assert kept.mean(0).min() > 0.8


def test_dropout_differs_by_call_and_repeats_by_seed_under_xla_and_without() -> None:
    ones = tf.ones((7, 33))

    def draw(compiled: bool) -> list[np.ndarray]:
        layer = layers.LeanDropout(0.3, seed=5)
        call = tf.function(lambda x: layer(x, training=True), jit_compile=compiled)
        return [np.array(call(ones)) for _ in range(2)]

    first, second = draw(compiled=False)
    assert (first != second).any()
    np.testing.assert_array_equal(np.stack(draw(compiled=True)), np.stack([first, second]))


def test_dropout_does_nothing_at_inference_or_at_rate_zero() -> None:
    ones = np.ones((4, 5), "float32")
    np.testing.assert_array_equal(layers.LeanDropout(0.5)(ones, training=False), ones)
    np.testing.assert_array_equal(layers.LeanDropout(0.0)(ones, training=True), ones)


def test_pooling_reads_tokens_and_no_padding() -> None:
    states = np.arange(24, dtype="float32").reshape(2, 3, 4)
    states[0, 2] = 1e6
    mask = np.array([[1, 1, 0], [0, 0, 0]], "int32")
    mean = np.array(layers.Pooling("mean")(states, mask))
    np.testing.assert_allclose(mean[0], states[0, :2].mean(0))
    np.testing.assert_array_equal(mean[1], np.zeros(4))
    np.testing.assert_array_equal(layers.Pooling("cls")(states, mask), states[:, 0])
    highest = np.array(layers.Pooling("max")(states, mask))
    np.testing.assert_array_equal(highest[0], states[0, 1])
    np.testing.assert_array_equal(highest[1], np.zeros(4))


def test_a_tokens_place_in_its_word() -> None:
    # Ids 4 and above go on with a word: 1 | 2 4 5 | 3 4 | 1 and padding.
    place = layers.PlaceInWord([False] * 4 + [True] * 2)
    ids = np.array([[1, 2, 4, 5, 3, 4, 1, 0, 0], [1, 2, 4, 0, 0, 0, 0, 0, 0]], "int32")
    expected = [[0, 1, 3, 2, 1, 2, 0, 0, 0], [0, 1, 2, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(place(ids), expected)
    again = layers.PlaceInWord.from_config(place.get_config())
    np.testing.assert_array_equal(again(ids), expected)


def adapted(rows: int, *texts: list[int]) -> layers.Bigrams:
    bigrams = layers.Bigrams(rows, dtype="int32")
    bigrams.build((None, None))
    lengths = [len(text) for text in texts]
    bigrams.adapt(np.concatenate(texts).astype("int32"), np.cumsum([0, *lengths[:-1]]))
    return bigrams


def test_a_pair_that_was_often_seen_has_a_row_of_its_own() -> None:
    often, seldom = [2, 7, 8, 3], [2, 9, 8, 3]
    bigrams = adapted(4096, *[often] * layers.MIN_COUNT, *[seldom] * (layers.MIN_COUNT - 1))
    rows = np.array(bigrams(np.array([[2, 7, 8, 3, 0], [2, 9, 8, 3, 0], [8, 3, 2, 7, 8]], "int32")))
    # (nothing, 2), (2, 7), (7, 8), (8, 3)
    assert len(set(rows[0, :4])) == 4
    assert 0 not in rows[0, :4]
    # Seen too seldom: (2, 9) and (9, 8); seen over the end of a row alone: (3, 2).
    assert rows[1].tolist() == [rows[0, 0], 0, 0, rows[0, 3], 0]
    assert rows[2].tolist() == [0, rows[0, 3], 0, rows[0, 1], rows[0, 2]]


def test_before_it_is_adapted_a_layer_knows_no_pair() -> None:
    assert not np.array(layers.Bigrams(16)(np.array([[0, 1, 2]], "int32"))).any()


def test_of_two_pairs_with_one_hash_the_commoner_has_the_row() -> None:
    # Two rows, of which one is for pairs that are not known.
    bigrams = adapted(2, *[[4, 5]] * 6, *[[6, 5]] * 9, *[[7]] * 20)
    rows = np.array(bigrams(np.array([[4, 5], [6, 5], [7, 7]], "int32")))
    assert rows.tolist() == [[0, 0], [0, 0], [1, 0]]


def test_pairs_are_counted_alike_in_one_block_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 200_000, 3000).astype("int32") % 40 + 199_950
    starts = np.unique(np.concatenate([[0], generator.integers(0, 3000, 300)]))
    pairs, counts = layers._count_pairs(ids, starts)
    monkeypatch.setattr(layers, "_BLOCK", 7)
    again, same = layers._count_pairs(ids, starts)
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
    again = layers.Bigrams.from_config(bigrams.get_config())
    again.build((None, None))
    again.set_weights(bigrams.get_weights())
    np.testing.assert_array_equal(again(ids[None, :3]), rows)
