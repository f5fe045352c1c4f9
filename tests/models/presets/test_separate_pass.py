"""The separate pass of a preset gives each of two texts the states that it has alone, in every family with segments.

Where `test_a_functional_model_can_be_run_on_other_tensors` fails, Keras has been upgraded: look at what took the name's
place, then at `models/presets/separate_pass.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from reference_states import FAMILIES, load

from models.network.text_pairs import ComparedTexts, SeparateTexts
from models.presets.separate_pass import encode_separately

WITH_SEGMENTS = [kind for kind in FAMILIES if kind != "roberta"]
START, END, LENGTH = 2, 3, 12
NAMES = ("token_ids", "padding_mask", "segment_ids")
PAIRS = [([5, 6, 7], [8, 9, 10, 11]), ([9], [6, 8]), ([], [12, 5]), ([7, 7], [])]


def batch(pairs: Sequence[tuple[list[int], list[int]]], length: int = LENGTH) -> dict[str, np.ndarray]:
    """Pairs of texts as the tokenizer lays them out, int32 [B, `length`] each."""
    values = {name: np.zeros((len(pairs), length), np.int32) for name in NAMES}
    for index, (first, second) in enumerate(pairs):
        ids = [START, *first, END, *second, END]
        values["token_ids"][index, : len(ids)] = ids
        values["padding_mask"][index, : len(ids)] = 1
        values["segment_ids"][index, len(first) + 2 : len(ids)] = 1
    return values


def single(text: list[int]) -> dict[str, np.ndarray]:
    ids = np.array([[START, *text, END]], np.int32)
    return {"token_ids": ids, "padding_mask": np.ones_like(ids), "segment_ids": np.zeros_like(ids)}


def separate_model(encoder: keras.Model) -> keras.Model:
    """From rows of pairs to the states, and to what `ComparedTexts` makes of them."""
    apart = SeparateTexts(START, dtype="int32")(*(encoder.input[name] for name in NAMES))
    states = encode_separately(encoder, apart)
    given = (states, *(apart[name] for name in ("padding_mask", "positions", "texts")))
    compared = {mode: ComparedTexts(mode, dtype="float32")(*given) for mode in ("cls", "mean")}
    return keras.Model(encoder.input, {"states": states, **compared})


def test_a_functional_model_can_be_run_on_other_tensors() -> None:
    parameters = inspect.signature(keras.Function._run_through_graph).parameters
    assert list(parameters) == ["self", "inputs", "operation_fn", "call_fn"]


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        (keras_hub.layers.PositionEmbedding, "positions"),
        (keras_hub.layers.TokenAndPositionEmbedding, "positions"),
        (keras_hub.layers.TransformerEncoder, "attention_mask"),
    ],
)
def test_kerashubs_layers_accept_positions_and_a_mask(layer: type[keras.Layer], argument: str) -> None:
    assert argument in inspect.signature(layer.call).parameters


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_each_text_has_the_states_that_it_has_alone(kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]) -> None:
    encoder = load(checkpoints[kind][0])
    states = np.array(separate_model(encoder)(batch(PAIRS))["states"])
    assert states.shape[:2] == (len(PAIRS), LENGTH + 1)
    for row, (first, second) in zip(states, PAIRS, strict=True):
        middle = len(first) + 2
        np.testing.assert_allclose(row[:middle], encoder(single(first))[0], atol=2e-5)
        np.testing.assert_allclose(row[middle : middle + len(second) + 2], encoder(single(second))[0], atol=2e-5)
    together = np.array(encoder(batch(PAIRS)))
    assert np.abs(together[0, 0] - states[0, 0]).max() > 0.01, "the other text is seen there"


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_the_comparison_does_not_depend_on_the_order(
    kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]
) -> None:
    encoder = load(checkpoints[kind][0])
    model = separate_model(encoder)
    found, swapped = model(batch(PAIRS)), model(batch([(second, first) for first, second in PAIRS]))
    for mode in ("cls", "mean"):
        np.testing.assert_allclose(found[mode], swapped[mode], atol=5e-5)
        alone = [[np.array(encoder(single(text)))[0] for text in pair] for pair in PAIRS]
        left, right = (
            np.array([pair[side][0] if mode == "cls" else pair[side].mean(0) for pair in alone]) for side in (0, 1)
        )
        cosine = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        np.testing.assert_allclose(found[mode][:, -1], cosine, atol=2e-5)
        np.testing.assert_allclose(found[mode][:, : left.shape[1]], np.abs(left - right), atol=5e-5)


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_padding_changes_nothing(kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]) -> None:
    model = separate_model(load(checkpoints[kind][0]))
    short, long = model(batch(PAIRS)), model(batch(PAIRS, LENGTH + 5))
    for mode in ("cls", "mean"):
        np.testing.assert_allclose(short[mode], long[mode], atol=2e-5)


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_rows_as_long_as_the_position_table(kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]) -> None:
    """24 positions. The separate pass has one token more than the row, also where a row is padding alone."""
    encoder = load(checkpoints[kind][0])
    pairs = [([5] * 21, []), ([], [6] * 21), ([7] * 10, [8] * 11)]
    values = {name: np.pad(value, ((0, 1), (0, 0))) for name, value in batch(pairs, 24).items()}
    found = separate_model(encoder)(values)
    for mode in ("cls", "mean"):
        assert np.isfinite(found[mode]).all()
    states = np.array(found["states"])
    np.testing.assert_allclose(states[0, :23], encoder(single(pairs[0][0]))[0], atol=2e-5)
    np.testing.assert_allclose(states[1, 2:], encoder(single(pairs[1][1]))[0], atol=2e-5)


def test_albert_cut_inside_a_group_of_shared_layers(checkpoints: dict[str, tuple[Path, dict, dict]]) -> None:
    encoder = load(checkpoints["albert"][0], num_layers=3)
    states = np.array(separate_model(encoder)(batch(PAIRS[:1]))["states"])[0]
    first, second = PAIRS[0]
    np.testing.assert_allclose(states[: len(first) + 2], encoder(single(first))[0], atol=2e-5)
    np.testing.assert_allclose(states[len(first) + 2 :][: len(second) + 2], encoder(single(second))[0], atol=2e-5)


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_it_has_no_weights_of_its_own(kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]) -> None:
    encoder = load(checkpoints[kind][0])
    before = [weight.path for weight in encoder.weights]
    model = separate_model(encoder)
    assert [weight.path for weight in model.weights] == before
    assert [weight.path for weight in encoder.weights] == before


@pytest.mark.parametrize("kind", WITH_SEGMENTS)
def test_xla_with_static_shapes_and_a_graph_with_free_ones(
    kind: str, checkpoints: dict[str, tuple[Path, dict, dict]]
) -> None:
    model = separate_model(load(checkpoints[kind][0]))
    values = {name: tf.constant(value) for name, value in batch(PAIRS).items()}
    free = {name: tf.TensorSpec([None, None], tf.int32, name) for name in values}
    expected = model(values)["mean"]
    compiled = tf.function(lambda x: model(x)["mean"], jit_compile=True)
    graph = tf.function(lambda x: model(x)["mean"], input_signature=[free])
    np.testing.assert_allclose(compiled(values), expected, atol=2e-5)
    np.testing.assert_allclose(graph(values), expected, atol=2e-5)
