from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from packed_gradients import LINES, TOKENIZER

from models.build import build_model
from models.config import EncoderConfig, PresetConfig
from models.network.precision import compute_in_float32
from models.presets.preset import preset_tokenizer


@pytest.mark.parametrize("kind", ["scratch", "pairs", *sorted(tiny_checkpoints.CONFIGS)])
def test_a_model_of_mixed_precision_computes_in_float32_when_told_to(kind: str, tmp_path: Path) -> None:
    config: Any = EncoderConfig(num_layers=2, width=8, num_heads=2, linear_rows=97)
    tokenizer = TOKENIZER
    if kind not in ("scratch", "pairs"):
        tiny_checkpoints.write(tmp_path, kind)
        config, tokenizer = PresetConfig(preset=str(tmp_path)), preset_tokenizer(str(tmp_path), 24)
    made, given = [], {name: LINES[name] for name in ("token_ids", "padding_mask", "segment_ids")}
    for precision in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(precision)
        try:
            keras.utils.set_random_seed(0)
            made.append(build_model(config, tokenizer=tokenizer, outputs=3, two_texts=kind == "pairs"))
        finally:
            keras.config.set_dtype_policy("float32")
    expected, model = made
    for ours, theirs in zip(model.weights, expected.weights, strict=True):
        ours.assign(theirs)
    assert np.abs(np.asarray(model(given)) - np.asarray(expected(given))).max() > 1e-6, "it rounds"
    compute_in_float32(model)
    np.testing.assert_array_equal(np.asarray(model(given)), np.asarray(expected(given)))
    traced = tf.function(lambda: model(given)).get_concrete_function().graph.get_operations()
    assert not [each.name for each in traced for value in each.outputs if value.dtype in (tf.bfloat16, tf.float16)]
