from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.config import EncoderConfig
from models.network import attention
from models.network.encoder import build_encoder
from tflite.host.tokenizer import Tokenizer

VARIANTS = [(norm, positions) for norm in ("pre", "post") for positions in ("learned", "rotary")]


def small(**changes: object) -> EncoderConfig:
    return EncoderConfig(num_layers=2, width=16, num_heads=2, **changes)


TOKENIZER = Tokenizer(
    family="wordpiece",
    pad_id=0,
    unknown_id=1,
    start_id=2,
    end_id=3,
    vocabulary_size=50,
    vocabulary=tuple(("##" if index >= 30 else "") + f"t{index}" for index in range(50)),
    max_length=24,
)


def build(config: EncoderConfig) -> keras.Model:
    keras.utils.set_random_seed(11)
    return build_encoder(config, TOKENIZER)


def build_loud(config: EncoderConfig) -> keras.Model:
    """With weights as large as trained ones, so that attention is far from uniform and biases are not zero."""
    model = build(config)
    generator = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(weight + generator.normal(0, 0.5, weight.shape))
    return model


def features(length: int = 9, rows: int = 3) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    lengths = np.array([length, length - 4, 1])[:rows, None]
    mask = (np.arange(length) < lengths).astype("int32")
    ids = generator.integers(5, 50, (rows, length)).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}


def padded(values: dict[str, np.ndarray], by: int) -> dict[str, np.ndarray]:
    return {name: np.pad(value, ((0, 0), (0, by))) for name, value in values.items()}


@pytest.mark.parametrize(("norm", "positions"), VARIANTS)
def test_padding_changes_nothing(norm: str, positions: str) -> None:
    model = build_loud(small(norm=norm, positions=positions))
    values = features()
    tokens = values["padding_mask"].astype(bool)
    plain = np.array(model(values))
    longer = np.array(model(padded(values, 12)))[:, :9]
    np.testing.assert_allclose(longer[tokens], plain[tokens], atol=1e-5)
    # Each row alone, without any padding.
    for row, length in enumerate(values["padding_mask"].sum(1)):
        alone = model({name: value[row : row + 1, :length] for name, value in values.items()})
        np.testing.assert_allclose(alone[0], plain[row, :length], atol=1e-5)


@pytest.mark.parametrize(("norm", "positions"), VARIANTS)
def test_the_moderate_mask_constant_gives_the_outputs_of_a_large_one(
    norm: str, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_loud(small(norm=norm, positions=positions))
    values = features()
    tokens = values["padding_mask"].astype(bool)
    moderate = np.array(model(values))[tokens]
    original = attention.masked_softmax
    monkeypatch.setattr(attention, "masked_softmax", lambda scores, mask: original(scores, mask, masked_score=-1e9))
    np.testing.assert_allclose(np.array(model(values))[tokens], moderate, atol=1e-5)
    # The constant is in use: without a mask the states would differ.
    monkeypatch.setattr(attention, "masked_softmax", lambda scores, mask: original(scores, None))
    assert np.abs(np.array(model(values))[tokens] - moderate).max() > 0.01


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_the_order_of_the_tokens_matters(positions: str) -> None:
    model = build_loud(small(positions=positions))
    values = features(rows=1)
    swapped = {**values, "token_ids": values["token_ids"][:, [0, 2, 1, 3, 4, 5, 6, 7, 8]]}
    assert np.abs(np.array(model(values))[0, 8] - np.array(model(swapped))[0, 8]).max() > 0.01


def test_rotary_positions_are_relative() -> None:
    # A token's state does not change when the whole text moves, if the tokens before it are not attended to.
    model = build_loud(small(positions="rotary"))
    values = features(rows=1)
    moved = {name: np.pad(value, ((0, 0), (5, 0))) for name, value in values.items()}
    # The scores are relative to the first key's, which is padding here: harmless, since it is one number per row.
    np.testing.assert_allclose(np.array(model(moved))[:, 5:], model(values), atol=1e-4)


def test_a_convolution_sees_the_neighbours_and_can_be_left_out() -> None:
    first, second = ({weight.path for weight in build(small(kernel_size=size)).weights} for size in (1, 5))
    assert first < second
    assert {path.split("/")[0] for path in second - first} == {"neighbours", "neighbours_layer_norm"}
    shapes = {weight.path: tuple(weight.shape) for weight in build(small(kernel_size=5)).weights}
    assert shapes["neighbours/kernel"] == (5, 16, 16)


def test_bigrams_can_be_left_out() -> None:
    without, with_ = ({weight.path: weight.shape for weight in build(small(bigrams=n)).weights} for n in (0, 7))
    assert set(with_) - set(without) == {"bigrams/pairs", "bigram_embedding/embeddings"}
    assert with_["bigram_embedding/embeddings"] == (8, 16)  # and one row for all other pairs


def test_a_vocabulary_without_pieces_has_no_places_in_words() -> None:
    whole = dataclasses.replace(TOKENIZER, vocabulary=tuple(f"t{index}" for index in range(50)))
    first, second = ({w.path for w in build_encoder(small(), each).weights} for each in (whole, TOKENIZER))
    assert second - first == {"place_embedding/embeddings"}


def test_segments_matter() -> None:
    model = build_loud(small())
    values = features()
    other = {**values, "segment_ids": values["padding_mask"]}
    assert np.abs(np.array(model(values)) - np.array(model(other))).max() > 0.01


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_xla_with_static_shapes_and_a_graph_with_free_ones_agree_with_eager(positions: str) -> None:
    model = build_loud(small(positions=positions))
    values = {name: tf.constant(value) for name, value in features().items()}
    free = {name: tf.TensorSpec([None, None], tf.int32, name) for name in values}
    expected = model(values)
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[free])
    np.testing.assert_allclose(compiled(values), expected, atol=2e-5)
    np.testing.assert_allclose(graph(values), expected, atol=2e-5)
    shorter = {name: value[:, :5] for name, value in values.items()}
    np.testing.assert_allclose(graph(shorter), model(shorter), atol=2e-5)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    first, second = build(small()), build(small())
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    keras.utils.set_random_seed(12)
    third = build_encoder(small(), TOKENIZER)
    assert np.abs(np.array(third.trainable_weights[0]) - np.array(first.trainable_weights[0])).max() > 0.01


def test_sizes_are_the_configurations() -> None:
    model = build(small(feedforward_width=24, positions="rotary"))
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    assert shapes["transformer_layer_1/feedforward_intermediate_dense/kernel"] == (16, 24)
    assert shapes["token_embedding/embeddings"] == (50, 16)
    assert "position_embedding/embeddings" not in shapes
