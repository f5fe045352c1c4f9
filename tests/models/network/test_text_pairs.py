"""Two texts of one row as if each were alone, and what their vectors have in common."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.network.text_pairs import ComparedTexts, SeparateTexts

START, END = 2, 3


def row(first: list[int], second: list[int], length: int) -> tuple[list[int], list[int], list[int]]:
    """Token ids, mask and segments of a pair, as the tokenizer lays it out."""
    ids = [START, *first, END, *second, END]
    padding = [0] * (length - len(ids))
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return ids + padding, [1] * len(ids) + padding, segments + padding


def separate(*rows: tuple[list[int], list[int], list[int]]) -> dict[str, np.ndarray]:
    inputs = (np.array(part, np.int32) for part in zip(*rows, strict=True))
    return {name: np.array(value) for name, value in SeparateTexts(START)(*inputs).items()}


def test_the_second_text_gets_a_start_token_and_positions_of_its_own() -> None:
    found = separate(row([5, 6], [7], 8), row([], [8, 9], 8), row([5], [], 8))
    assert found["token_ids"].tolist() == [
        [2, 5, 6, 3, 2, 7, 3, 0, 0],
        [2, 3, 2, 8, 9, 3, 0, 0, 0],
        [2, 5, 3, 2, 3, 0, 0, 0, 0],
    ]
    assert found["padding_mask"].tolist() == (found["token_ids"] > 0).astype(int).tolist()
    assert found["texts"].tolist() == [[0] * 4 + [1] * 5, [0] * 2 + [1] * 7, [0] * 3 + [1] * 6]
    assert found["positions"][:, :6].tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 0, 1, 2, 3], [0, 1, 2, 0, 1, 2]]
    assert {value.dtype for value in found.values()} == {np.dtype("int32")}


def test_tokens_see_their_own_text_and_no_padding() -> None:
    found = separate(row([5, 6], [7], 8))["attention"][0]
    expected = np.zeros((9, 9), int)
    expected[:4, :4] = 1
    expected[4:, 4:7] = 1
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("length", [4, 24])
def test_no_position_is_beyond_the_row(length: int) -> None:
    """A row may be as long as the position table; so may padding, whose positions are looked up too."""
    room = length - 3
    nothing = ([0] * length,) * 3
    whole_first = ([START] * length, [1] * length, [0] * length)
    rows = [row([5] * room, [], length), row([], [5] * room, length), row([], [], length), nothing, whole_first]
    positions = separate(*rows)["positions"]
    assert positions.min() == 0
    assert positions.max() == length - 1


def test_a_row_of_padding_alone_has_a_finite_comparison_and_gradient() -> None:
    found = separate(([0] * 4,) * 3)
    states = tf.random.normal((1, 5, 6), seed=0)
    with tf.GradientTape() as tape:
        tape.watch(states)
        compared = ComparedTexts("mean")(states, found["padding_mask"], found["positions"], found["texts"])
    assert np.isfinite(compared).all()
    assert np.isfinite(tape.gradient(compared, states)).all()


def test_lengths_may_be_free_or_fixed() -> None:
    rows = [row([5, 6], [7], 8), row([5], [], 8)]
    values = [tf.constant(part, tf.int32) for part in zip(*rows, strict=True)]
    expected = separate(*rows)
    for shape in ([None, None], [2, 8]):
        graph = tf.function(SeparateTexts(START), input_signature=[tf.TensorSpec(shape, tf.int32)] * 3)
        for name, value in graph(*values).items():
            np.testing.assert_array_equal(value, expected[name])


def vectors(mode: str, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the texts of `row([5, 6], [7], 8)`, from its states [9, D]."""
    if mode == "cls":
        return states[0], states[4]
    return states[:4].mean(0), states[4:7].mean(0)


@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_difference_product_and_cosine_by_hand(mode: str) -> None:
    states = np.random.default_rng(0).normal(size=(1, 9, 6)).astype("float32")
    found = separate(row([5, 6], [7], 8))
    compared = ComparedTexts(mode)(states, found["padding_mask"], found["positions"], found["texts"])
    one, other = vectors(mode, states[0])
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    expected = [*np.abs(one - other), *(one * other), cosine]
    np.testing.assert_allclose(compared, [expected], atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_comparison_is_float32_under_every_precision(policy: str) -> None:
    found = separate(row([5, 6], [7], 8))
    states = np.random.default_rng(0).normal(size=(1, 9, 6))
    keras.config.set_dtype_policy(policy)
    try:
        layer = ComparedTexts("mean", dtype="float32")
    finally:
        keras.config.set_dtype_policy("float32")
    narrow = tf.cast(states, policy.removeprefix("mixed_"))
    given = (found["padding_mask"], found["positions"], found["texts"])
    compared = layer(narrow, *given)
    assert compared.dtype == tf.float32
    np.testing.assert_array_equal(compared, layer(tf.cast(narrow, tf.float32), *given))
