"""Packed rows give the logits and gradients that the same rows give alone, whatever their neighbours in the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints

from models.build import build_model
from models.config import EncoderConfig, PresetConfig
from models.network.packed import APART, RowPooling, packed_model
from models.presets.preset import preset_tokenizer
from models.training.packed.lines import Lines, lay_out, write_lines
from tflite.host.tokenizer import Tokenizer

VOCABULARY, START, END, PAD = 40, 2, 3, 0
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *("##" * (i >= 25) + f"w{i}" for i in range(4, VOCABULARY))]
TOKENIZER = Tokenizer(
    "wordpiece",
    start_id=START,
    end_id=END,
    pad_id=PAD,
    unknown_id=1,
    vocabulary_size=VOCABULARY,
    max_length=24,
    vocabulary=tuple(PIECES),
)
SMALL = {"num_layers": 2, "width": 16, "num_heads": 2, "feedforward_width": 24, "bigrams": 64, "linear_rows": 50}
Rows = list[tuple[np.ndarray, np.ndarray]]  # token ids and segment ids


def rows(tokenizer: Tokenizer, two_texts: bool) -> Rows:
    """Rows of many lengths; the two shortest and the longest possible among them."""
    generator = np.random.default_rng(0)
    lengths = [2, 3, 24, 7, 5, 24, 12, 4, 9, 6, 2, 15]
    made = []
    for length in lengths:
        ids = generator.integers(5, min(VOCABULARY, tokenizer.vocabulary_size), length).astype(np.int32)
        ids[0], ids[-1] = tokenizer.start_id, tokenizer.end_id
        first = int(generator.integers(1, length)) if two_texts else length
        made.append((ids, (np.arange(length) >= first).astype(np.int32)))
    return made


def alone(given: Rows, pad_id: int) -> dict[str, np.ndarray]:
    longest = max(len(ids) for ids, _ in given)
    values = {name: np.zeros((len(given), longest), np.int32) for name in ("padding_mask", "segment_ids")}
    values["token_ids"] = np.full((len(given), longest), pad_id, np.int32)
    for i, (ids, segments) in enumerate(given):
        values["token_ids"][i, : len(ids)], values["segment_ids"][i, : len(ids)] = ids, segments
        values["padding_mask"][i, : len(ids)] = 1
    return values


def texts_of(given: Rows, start_id: int) -> list[tuple[np.ndarray, int]]:
    split = [(ids[segments == 0], np.append(np.int32(start_id), ids[segments == 1])) for ids, segments in given]
    return [(text, k) for pair in split for k, text in enumerate(pair)]


def in_lines(given: Rows, slots: int, pad_id: int, gap: int) -> dict[str, np.ndarray]:
    """The rows in lines of 28 tokens."""
    laid = lay_out(np.array([len(ids) for ids, _ in given]), 28, gap)
    return write_lines([given], [laid], Lines(laid.count, 28), slots=slots, pad_id=pad_id)


def differences(model: keras.Model, given: Rows, tokenizer: Tokenizer, gap: int = 0) -> tuple[float, float]:
    """The largest of the logits, and of the gradients relative to the largest of their variable."""
    packed = packed_model(model)
    slots = len(given) + 2  # two remain empty
    inputs = in_lines(given, slots, tokenizer.pad_id, gap)
    assert len(inputs["rows"]) < len(given) - 3, "rows share lines"
    if any(name.startswith(APART) for name in packed.input):
        texts = texts_of(given, tokenizer.start_id)
        apart = in_lines(texts, 2 * slots, tokenizer.pad_id, gap)
        inputs |= {APART + name: values for name, values in apart.items()}
    deep = keras.Model(model.input, model.get_layer("logits").output)
    weights = np.random.default_rng(1).normal(size=(len(given), deep.output.shape[-1])).astype(np.float32)
    values = []
    for network, features in ((deep, alone(given, tokenizer.pad_id)), (packed, inputs)):
        with tf.GradientTape() as tape:
            logits = network(features)[: len(given)]
            loss = tf.reduce_sum(logits * weights)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
        values.append((np.array(logits), [np.array(tf.convert_to_tensor(g)) for g in gradients]))
    (ours, our_gradients), (theirs, their_gradients) = values
    assert np.ptp(ours, axis=0).min() > 1e-3
    by_variable = [
        np.abs(one - other).max() / (np.abs(one).max() + 1e-3)
        for one, other in zip(our_gradients, their_gradients, strict=True)
    ]
    return float(np.abs(ours - theirs).max()), max(by_variable)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kernel_size": 1, "pooling": "cls"},
        {"kernel_size": 5, "pooling": "max", "norm": "post"},
        {"positions": "rotary"},
    ],
)
@pytest.mark.parametrize("two_texts", [False, True])
def test_an_encoder_from_scratch(changes: dict, two_texts: bool) -> None:
    keras.utils.set_random_seed(0)
    config = EncoderConfig(type="encoder", **{**SMALL, **changes})
    model = build_model(config, tokenizer=TOKENIZER, outputs=3, two_texts=two_texts)
    given = rows(TOKENIZER, two_texts)
    ids = np.concatenate([ids for ids, _ in given])
    model.get_layer("bigrams").adapt(np.tile(ids, 3), np.cumsum([0, *(len(i) for i, _ in given)])[:-1])
    logits, gradients = differences(model, given, TOKENIZER, gap=config.kernel_size // 2)
    assert logits < 1e-5
    assert gradients < 1e-4


@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_preset_of_each_family(kind: str, pooling: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # of the head, whatever other tests have drawn
    tiny_checkpoints.write(tmp_path, kind)
    tokenizer = preset_tokenizer(str(tmp_path), 24)
    config = PresetConfig(type="preset", preset=str(tmp_path), pooling=pooling)
    model = build_model(config, tokenizer=tokenizer, outputs=3)
    logits, gradients = differences(model, rows(tokenizer, False), tokenizer)
    assert logits < 1e-5
    assert gradients < 1e-4


@pytest.mark.parametrize("kind", [kind for kind in sorted(tiny_checkpoints.CONFIGS) if kind != "roberta"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_two_texts_read_together_and_apart(kind: str, pooling: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # of the head, whatever other tests have drawn
    tiny_checkpoints.write(tmp_path, kind)
    tokenizer = preset_tokenizer(str(tmp_path), 24)
    config = PresetConfig(type="preset", preset=str(tmp_path), pooling=pooling, pair_encoding="both")
    model = build_model(config, tokenizer=tokenizer, outputs=3, two_texts=True)
    logits, gradients = differences(model, rows(tokenizer, True), tokenizer)
    assert logits < 1e-5
    assert gradients < 1e-4


def test_no_row_sees_its_neighbour() -> None:
    """Exact, because a difference of rounding would hide a small leak."""
    model = build_model(EncoderConfig(type="encoder", **SMALL), tokenizer=TOKENIZER, outputs=2)
    packed = packed_model(model)
    given = rows(TOKENIZER, False)

    def logits(changed: Sequence[int]) -> np.ndarray:
        other = [(np.where(ids > 4, ids - 1, ids), s) if i in changed else (ids, s) for i, (ids, s) in enumerate(given)]
        return np.array(packed(in_lines(other, 12, PAD, gap=1)))

    before, after = logits([]), logits([2, 3, 5])
    kept = [i for i in range(12) if i not in (2, 3, 5)]
    np.testing.assert_array_equal(before[kept], after[kept])
    assert (before[[2, 3, 5]] != after[[2, 3, 5]]).any(axis=1).all()


def test_the_maximum_by_its_place_has_the_value_and_the_gradient_of_the_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JAX takes the former, because XLA's rounding can lose the gradient of the latter."""
    states = tf.Variable(np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32"))
    numbers = tf.constant([[1, 1, 1, 2, 0], [3, 3, 3, 3, 3], [4, 4, 0, 0, 0]])  # of 5 rows, the last without tokens
    found = []
    for backend in ("tensorflow", "jax"):
        monkeypatch.setattr(keras.backend, "backend", lambda name=backend: name)
        with tf.GradientTape() as tape:
            pooled = RowPooling("max").call(states, numbers, tf.zeros(5, tf.int32))
            loss = tf.reduce_sum(pooled * tf.reshape(tf.range(20.0), (5, 4)))
        found.append((pooled.numpy(), tape.gradient(loss, states).numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.count_nonzero(found[1][1]) == 4 * 4 - 1  # one token for each of four rows and columns; one weight is 0
