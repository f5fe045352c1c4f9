from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.network.dropout import LeanDropout


def test_dropout_drops_its_share_and_keeps_the_expectation() -> None:
    layer = LeanDropout(0.1, seed=3)
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
        layer = LeanDropout(0.3, seed=5)
        call = tf.function(lambda x: layer(x, training=True), jit_compile=compiled)
        return [np.array(call(ones)) for _ in range(2)]

    first, second = draw(compiled=False)
    assert (first != second).any()
    np.testing.assert_array_equal(np.stack(draw(compiled=True)), np.stack([first, second]))


def test_dropout_does_nothing_at_inference_or_at_rate_zero() -> None:
    ones = np.ones((4, 5), "float32")
    np.testing.assert_array_equal(LeanDropout(0.5)(ones, training=False), ones)
    np.testing.assert_array_equal(LeanDropout(0.0)(ones, training=True), ones)


@pytest.mark.parametrize("compiled", [False, True])
def test_axes_of_size_one_in_the_noise_shape_are_dropped_as_a_whole(compiled: bool) -> None:
    layer = LeanDropout(0.3, noise_shape=(None, None, 1), seed=5)
    call = tf.function(lambda x: layer(x, training=True), jit_compile=compiled)
    kept = np.array(call(tf.ones((40, 50, 3)))) != 0
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[..., :1], kept.shape))
    assert kept.mean() == pytest.approx(0.7, abs=0.04)
