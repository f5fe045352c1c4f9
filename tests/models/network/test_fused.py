"""What is fused computes what its layers compute one operation after the other, and its gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from keras import ops
from packed_gradients import TOKENIZER, assert_alike, loss_and_gradients

from models.build import build_model
from models.config import EncoderConfig, PresetConfig
from models.network.fused import FusedDense, FusedNorm, fuse, fusing, is_fusing
from models.presets.preset import preset_tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"positions": "rotary", "norm": "post"}, {"dropout": 0.0}], ids=str)
def test_an_encoder_from_scratch(settings: dict[str, Any]) -> None:
    keras.utils.set_random_seed(0)
    config = EncoderConfig(
        **({"num_layers": 2, "width": 16, "num_heads": 2, "dropout": 0.4, "linear_rows": 0} | settings)
    )
    model = build_model(config, tokenizer=TOKENIZER, outputs=3)
    assert_alike(*(loss_and_gradients(model, fused=fused) for fused in (False, True)))


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_a_preset_of_each_family(kind: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, kind)
    model = build_model(PresetConfig(preset=str(tmp_path)), tokenizer=preset_tokenizer(str(tmp_path), 24), outputs=3)
    assert_alike(*(loss_and_gradients(model, fused=fused) for fused in (False, True)))


def test_low_rank_updates(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    config = PresetConfig(preset=str(tmp_path), lora_rank=2)
    model = build_model(config, tokenizer=preset_tokenizer(str(tmp_path), 24), outputs=3)
    for variable in model.trainable_variables:  # one of the two matrices is 0 at first, and so are gradients
        variable.assign(np.random.default_rng(0).normal(0, 0.5, variable.shape))
    assert_alike(*(loss_and_gradients(model, fused=fused) for fused in (False, True)))


def test_half_precision_stays_close_to_float32(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    found = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            tokenizer = preset_tokenizer(str(tmp_path), 24)
            model = build_model(PresetConfig(preset=str(tmp_path)), tokenizer=tokenizer, outputs=3)
        finally:
            keras.config.set_dtype_policy("float32")
        found[policy] = np.concatenate([x.ravel() for x in loss_and_gradients(model, fused=True)])
    exact, half = found["float32"], found["mixed_bfloat16"]
    assert np.linalg.norm(exact - half) < 0.03 * np.linalg.norm(exact)


def test_layers_that_do_the_same_share_a_program() -> None:
    layers = [FusedDense(8, "gelu"), FusedNorm(), FusedDense(8, "gelu"), FusedNorm()]
    x = tf.ones((4, 8))
    for layer in layers:
        layer.build(x.shape)

    @tf.function
    def run(x: Any) -> Any:
        with fusing(True):
            for layer in layers:
                x = layer(x)
        return x

    called = run.get_concrete_function(x).graph.as_graph_def().library.function
    assert len(called) == 2
    assert all(each.attr["_XlaMustCompile"].b for each in called)


def test_variables_are_fused_eagerly_too() -> None:
    layer, x = FusedNorm(), tf.constant([[1.0, 2.0, 4.0]])
    expected = layer(x)
    with fusing(True), tf.GradientTape() as tape:
        found = layer(x)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert tape.gradient(found, layer.beta.value).numpy().tolist() == [1.0, 1.0, 1.0]


def test_gradients_reach_only_floats_and_the_result_has_the_type_of_the_first() -> None:
    values, indices = tf.constant([1.0, 2.0], tf.bfloat16), tf.constant([3, 4])
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = fuse(_times, values, indices)
    assert result.dtype == tf.bfloat16
    gradient = tape.gradient(result, values)
    assert gradient.dtype == tf.bfloat16
    assert gradient.numpy().tolist() == [3.0, 4.0]


def _times(values: Any, indices: Any) -> Any:
    return values * ops.cast(indices, values.dtype)


def test_what_is_fused_is_computed_in_float32() -> None:
    values = tf.constant([1.0, 3.0], tf.bfloat16)
    assert fuse(_there_and_back, values).numpy().tolist() == [1.0, 3.0]
    assert _there_and_back(values).numpy().tolist() != [1.0, 3.0]


def _there_and_back(values: Any) -> Any:
    return values + 1000.0 - 1000.0  # bfloat16 has no 1001


def test_nothing_is_fused_outside_of_the_block() -> None:
    assert not is_fusing()
    with fusing(True):
        assert is_fusing()
        with fusing(False):
            assert not is_fusing()
        assert is_fusing()
    assert not is_fusing()
