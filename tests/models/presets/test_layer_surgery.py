"""The classes of layers are changed from outside, which relies on private names of Keras and KerasHub.

Where one of the first tests fails, Keras or KerasHub has been upgraded: look at what took the name's place, then at
`models/presets/layer_surgery.py`, `backbones.py` and `hugging_face_weights.py`.
"""

from __future__ import annotations

import inspect

import keras
import keras_hub
import numpy as np
import pytest

from models.network.fused import FusedDense, FusedNorm
from models.presets.layer_surgery import MaskedAttention, MaskedSoftmax, replace_layers

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 24}


@pytest.fixture(scope="module")
def bert() -> keras.Model:
    sizes = SIZES | {"vocabulary_size": 10}
    return keras_hub.models.BertBackbone(**sizes)


@pytest.fixture(scope="module")
def deberta() -> keras.Model:
    sizes = SIZES | {"vocabulary_size": 10, "bucket_size": 4}
    return keras_hub.models.DebertaV3Backbone(**sizes)


def test_layers_can_be_listed_with_those_inside_them(bert: keras.Model) -> None:
    layers = list(bert._flatten_layers())
    assert sum(type(layer) is keras.layers.MultiHeadAttention for layer in layers) == 2
    assert sum(type(layer) is keras.layers.Dropout for layer in layers) == 1 + 3 * 2


def test_layers_know_how_often_they_are_called(bert: keras.Model) -> None:
    assert [len(layer._inbound_nodes) for layer in bert.transformer_layers] == [1, 1]


def test_keras_attention_computes_scores_in_a_method_of_its_own(bert: keras.Model) -> None:
    block = bert.transformer_layers[0]
    attention = block._self_attention_layer
    assert type(attention) is keras.layers.MultiHeadAttention
    assert type(attention._dropout_layer) is keras.layers.Dropout
    assert (attention._use_gate, attention._sliding_window) == (False, None)
    assert attention._value_dim == attention._key_dim
    parameters = inspect.signature(MaskedAttention._compute_attention).parameters
    assert list(parameters) == list(inspect.signature(type(attention)._compute_attention).parameters)
    for name in ("_compute_attention(", "_query_dense(", "_key_dense(", "_value_dense(", "_output_dense("):
        assert f"self.{name}" in inspect.getsource(keras.layers.MultiHeadAttention.call)
    assert isinstance(block._feedforward_intermediate_dense, keras.layers.Dense)


def test_debertas_attention_masks_in_a_softmax_layer(deberta: keras.Model) -> None:
    for block in deberta.transformer_layers:
        attention = block._self_attention_layer
        assert type(attention._softmax) is keras.layers.Softmax
        assert type(attention._attn_dropout_layer) is keras.layers.Dropout
        assert isinstance(block._feedforward_intermediate_dense, keras.layers.Dense)
    replace_layers(deberta)
    assert type(deberta.transformer_layers[0]._self_attention_layer._softmax) is MaskedSoftmax


def test_lora_keeps_its_kernel_apart() -> None:
    layer = keras.layers.EinsumDense("ab,bc->ac", output_shape=3)
    layer.build((None, 2))
    layer.enable_lora(1)
    assert layer.lora_enabled
    layer._kernel.assign(np.ones((2, 3)))
    np.testing.assert_array_equal(layer.kernel, np.ones((2, 3)))  # its update is zero at first


def test_replaced_layers_compute_what_keras_computes() -> None:
    keras.utils.set_random_seed(0)
    block = keras_hub.layers.TransformerEncoder(32, 2, dropout=0.1, activation="gelu")
    states = np.random.default_rng(0).normal(size=(3, 6, 16)).astype("float32")
    mask = (np.arange(6) < np.array([[6], [4], [1]])).astype("int32")
    expected = np.array(block(states, padding_mask=mask))
    variables = [variable.path for variable in block.variables]
    replace_layers(block)
    assert type(block._self_attention_layer) is MaskedAttention
    assert type(block._feedforward_intermediate_dense) is FusedDense
    assert type(block._feedforward_output_dense) is keras.layers.Dense  # it has no activation
    assert type(block._feedforward_layer_norm) is FusedNorm
    assert [variable.path for variable in block.variables] == variables
    np.testing.assert_allclose(block(states, padding_mask=mask), expected, atol=2e-6)


def test_a_model_without_dropout_has_its_layers_replaced_too() -> None:
    # Keras then uses a fused kernel with another mask constant.
    block = keras_hub.layers.TransformerEncoder(32, 2, dropout=0.0)
    states = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    mask = np.array([[1] * 6, [1, 1, 0, 0, 0, 0]])
    expected = np.array(block(states, padding_mask=mask))
    replace_layers(block)
    np.testing.assert_allclose(block(states, padding_mask=mask), expected, atol=2e-6)
