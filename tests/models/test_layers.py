from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from models import layers


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
    layers.adopt(block)
    assert type(block._self_attention_layer) is layers.MaskedAttention
    assert [variable.path for variable in block.variables] == variables
    np.testing.assert_allclose(block(states, padding_mask=mask), expected, atol=2e-6)


def test_a_model_without_dropout_is_adopted_too() -> None:
    # Keras then takes a fused kernel, whose mask constant is another.
    block = keras_hub.layers.TransformerEncoder(32, 2, dropout=0.0)
    states = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    mask = np.array([[1] * 6, [1, 1, 0, 0, 0, 0]])
    expected = np.array(block(states, padding_mask=mask))
    layers.adopt(block)
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


def test_a_bigram_is_a_token_with_the_one_before_it() -> None:
    bigrams = layers.HashedBigrams(4096)
    rows = np.array(bigrams(np.array([[2, 7, 8, 7, 8, 3, 0], [2, 8, 7, 8, 3, 0, 0]], "int32")))
    assert rows[0, 2] == rows[0, 4] == rows[1, 3]
    assert rows[0, 3] == rows[1, 2] != rows[0, 2]
    assert len({rows[0, 0], rows[0, 1], rows[0, 2], rows[0, 3]}) == 4
    assert rows[0, 0] == rows[1, 0] == 2  # nothing before the first token


def test_bigrams_of_the_largest_vocabulary_stay_in_the_table_and_spread() -> None:
    ids = np.random.default_rng(0).integers(0, 200_000, (4, 5000)).astype("int32")
    ids[0, :2] = 199_999
    for size in (1, 1000, 4096):
        rows = np.array(layers.HashedBigrams(size)(ids))
        assert rows.min() >= 0
        assert rows.max() < size
        counts = np.bincount(rows.ravel(), minlength=size)
        assert counts.max() < 3 * ids.size / size + 20
