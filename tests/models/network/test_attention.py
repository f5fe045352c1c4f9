from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.network.attention import attend, attend_to_itself, masked_softmax


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
    np.testing.assert_allclose(masked_softmax(scores, mask), expected, atol=2e-6)


def test_softmax_gives_padding_no_weight_that_float32_could_see() -> None:
    scores, mask = scores_and_mask()
    # Padding would dominate if it were not masked; one row has only the first token.
    scores[2, :, :, 1:] = 90.0
    weights = np.array(masked_softmax(scores, mask))
    assert weights[~np.broadcast_to(mask, weights.shape)].max() < 1e-12
    assert np.isfinite(masked_softmax(scores, np.zeros_like(mask))).all()


def test_softmax_keeps_the_type_and_computes_in_float32() -> None:
    scores, mask = scores_and_mask()
    weights = masked_softmax(tf.cast(scores, tf.bfloat16), mask)
    assert weights.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(tf.reduce_sum(tf.cast(weights, tf.float32), -1), tf.float32), 1.0, atol=0.02)


@pytest.mark.parametrize("level", [-200.0, -40.0, 0.0, 60.0])
def test_queries_may_see_different_keys_whatever_the_level_of_those_that_they_do_not(level: float) -> None:
    """Two texts in one row: the first key is masked for the second one's tokens, and may have any score."""
    scores, padding = scores_and_mask()
    texts = np.arange(7) >= 3
    mask = (texts[:, None] == texts[None, :]) & padding
    scores = np.where(mask, scores, scores + level).astype("float32")
    wide = np.where(mask, scores.astype("float64"), -1e9)
    exponents = np.exp(wide - wide.max(-1, keepdims=True))
    expected = exponents / exponents.sum(-1, keepdims=True)
    some = np.broadcast_to(mask.any(-1, keepdims=True), scores.shape)
    found = np.array(masked_softmax(scores, mask))
    np.testing.assert_allclose(found[some], expected[some], atol=2e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_joined_products_attend_as_separate_ones(packed: bool, rotary: bool) -> None:
    keras.utils.set_random_seed(0)
    names = ("query", "key", "value")
    projections = [
        keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de", bias_initializer="normal", name=name)
        for name in names
    ]
    output = keras.layers.EinsumDense("abcd,cde->abe", (None, 6), bias_axes="e", bias_initializer="normal")
    rotate = keras_hub.layers.RotaryEmbedding() if rotary else None
    states = tf.Variable(np.random.default_rng(0).normal(0, 3, (2, 7, 6)).astype("float32"))
    rows = np.array([[1, 1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 0, 0, 0]])
    mask = rows[:, :, None] == rows[:, None, :] if packed else (rows > 0)[:, None, :]
    real = (rows > 0)[:, :, None].astype("float32")

    def separate() -> tf.Tensor:
        query, key, value = (layer(states) for layer in projections)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        return output(attend(query, key, value, mask, lambda weights: weights)[0])

    def joined() -> tf.Tensor:
        return attend_to_itself(ops.convert_to_tensor(states), projections, output, mask, lambda x: x, rotate)

    found = []
    for compute in (separate, joined):
        with tf.GradientTape() as tape:
            result = compute() * real
            loss = tf.reduce_sum(tf.square(result - 0.3))
        kernels = [variable.value for layer in (*projections, output) for variable in layer.trainable_variables]
        found.append([result, *tape.gradient(loss, [states, *kernels])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * (np.abs(one).max() + 1.0))  # keys' biases have none
