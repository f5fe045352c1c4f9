"""Keras to .tflite: the same predictions, shared weights, built-in operations, and refusals."""

from __future__ import annotations

import errno

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_edge as tiny
from ai_edge_litert.interpreter import Interpreter

from models.errors import ModelError
from tflite.convert import flatbuffer
from tflite.convert.keras_to_tflite import INPUTS, convert


@pytest.mark.slow_variants
@pytest.mark.parametrize("name", tiny.TASKS)
def test_predictions_equal_keras(name: str) -> None:
    labels, manifest = tiny.TASKS[name], tiny.manifest(name)
    model = tiny.model(name)
    interpreter = Interpreter(model_content=convert(model, manifest, labels))
    kind = "regress" if name == "regression" else "classify"
    assert set(interpreter.get_signature_list()) == {f"{kind}_8", f"{kind}_16"}
    answer = {
        "single_label": lambda logits: keras.ops.softmax(logits / labels.temperatures[0]),
        "multi_label": lambda logits: keras.ops.sigmoid(logits / np.array(labels.temperatures, np.float32)),
        "regression": lambda logits: logits * labels.std + labels.mean,
    }[name]
    for length in tiny.LENGTHS:
        ask = interpreter.get_signature_runner(manifest.signature(length))
        assert {k: tuple(v["shape"]) for k, v in ask.get_input_details().items()} == dict.fromkeys(INPUTS, (1, length))
        for row in tiny.rows(length):
            found = ask(**row)[manifest.output]
            np.testing.assert_allclose(found, np.asarray(answer(model(row))), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_lengths_share_their_weights_and_every_variable_is_in_the_file() -> None:
    model = tiny.model()
    one, two = (convert(model, tiny.manifest(lengths=lengths), tiny.LABELS) for lengths in ((16,), (8, 16)))
    weights = sum(4 * int(np.prod(w.shape)) for w in model.weights if "seed" not in w.path)
    stored = [sum(each.size for each in flatbuffer.constants(flatbuffer.read(file))) for file in (one, two)]
    assert weights < stored[0] < stored[1] < 1.3 * stored[0]


def test_tables_of_embeddings_are_looked_up() -> None:
    content = tiny.content(lengths=(8,))
    operations = flatbuffer.operations(flatbuffer.read(content))
    # Tokens, bigrams and the linear model. The remaining gathers are on small tables (segments, positions in words),
    # and on integers (the token pair of a bigram row, whether a token continues a word).
    assert operations["EMBEDDING_LOOKUP"] == 3
    assert operations["GATHER"] == 5
    assert not [name for name in operations if name.startswith(("custom", "unknown"))]


def test_the_row_of_uncommon_pairs_is_zero_only_in_the_file() -> None:
    tables = {
        name: tiny.model().get_layer(name).embeddings.numpy() for name in ("bigram_embedding", "segment_embedding")
    }
    model = flatbuffer.read(tiny.content(lengths=(8,)))
    graph = model.subgraphs[0]
    (found,) = (
        np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)
        for tensor in graph.tensors
        if tensor.shape is not None and tuple(tensor.shape) == tables["bigram_embedding"].shape
    )
    common = tables["bigram_embedding"][0]
    assert np.abs(common).max() > 0.01
    np.testing.assert_array_equal(found, tables["bigram_embedding"] - common)
    for name, before in tables.items():
        np.testing.assert_array_equal(tiny.model().get_layer(name).embeddings.numpy(), before)


class Unsupported(keras.layers.Layer):
    def call(self, states: tf.Tensor) -> tf.Tensor:
        return tf.linalg.det(states[:, :2, :2])[:, None] * states[:, 0]


def test_an_operation_that_is_not_built_in_is_named() -> None:
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in INPUTS}
    states = keras.layers.Embedding(10, 4)(inputs["token_ids"])
    model = keras.Model(inputs, keras.layers.Dense(3)(Unsupported()(states)))
    with pytest.raises(ModelError, match="MatrixDeterminant"):
        convert(model, tiny.manifest(lengths=(8,)), tiny.LABELS)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_is_not_the_models_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A model that cannot be converted is a cached result; an error of the machine is not."""

    def convert_nothing(self: tf.lite.TFLiteConverter) -> bytes:
        raise error

    monkeypatch.setattr(
        tf.lite.TFLiteConverter.from_saved_model.__globals__["TFLiteSavedModelConverterV2"], "convert", convert_nothing
    )
    with pytest.raises(type(error)):
        convert(tiny.model(), tiny.manifest(lengths=(8,)), tiny.LABELS)
