from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.network.dropout import LeanDropout, random_words


def test_dropout_drops_its_share_and_keeps_the_expectation() -> None:
    layer = LeanDropout(0.1, seed=3)
    dropped = np.array(layer(np.ones((400, 500), "float32"), training=True))
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.9)}
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.003)
    assert dropped.mean() == pytest.approx(1.0, abs=0.003)
    # Rows, columns and neighbours are independent.
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


def _hashed(words: np.ndarray, key: np.ndarray) -> np.ndarray:
    words = (words ^ words >> 16) * np.uint32(0x21F0AAAD) + key
    words = (words ^ words >> 15) * np.uint32(0xD35A2D97)
    return np.asarray(words ^ words >> 15)


def test_the_random_numbers_are_the_published_hash() -> None:
    seed, none = np.array([7, 2**40 + 5], np.uint64).astype(np.uint32), np.zeros(1, np.uint32)
    first = _hashed(seed[:1] + _hashed(seed[1:] * np.uint32(0x9E3779B9) + np.uint32(0x85EBCA6B), none), none)
    numbers = np.arange(12, dtype=np.uint32) * np.uint32(0x9E3779B9) + first
    expected = _hashed(numbers, _hashed(first + seed[1:], none))
    found = random_words((3, 4), tf.constant([7, 2**40 + 5], tf.int64))
    np.testing.assert_array_equal(found, expected.reshape(3, 4))


def test_masks_of_two_seeds_or_two_calls_are_independent_in_every_place() -> None:
    masks = []
    for seed in (0, 1, 2, 1337):
        layer = LeanDropout(0.5, seed=seed)
        masks += [np.array(layer(np.ones(2**16, "float32"), training=True)).astype(bool) for _ in range(3)]
    signs = np.array(masks) * 2.0 - 1
    # Of independent masks, each product and each shifted product has a standard deviation of 1/256.
    for shift in (0, 1, 2, 64, 384):
        products = signs[:, : 2**16 - shift] @ signs[:, shift:].T / 2**16
        assert np.abs(products - np.eye(len(masks)) * (shift == 0)).max() < 5 / 256
    assert np.abs(signs.mean(1)).max() < 5 / 256
