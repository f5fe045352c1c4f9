"""Every family of presets can become a bundle that predicts as its Keras model does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
import tiny_edge as tiny
from surface_weights import fill_surface

from models.build import build_model
from models.config import PresetConfig, TaskConfig
from models.presets.preset import preset_tokenizer
from models.saved.restore import RestoredModel
from tflite.bundle.bundle_folder import check_golden
from tflite.bundle.mediapipe_metadata import FileDescription
from tflite.bundle_export import Float32Model
from tflite.convert.keras_to_tflite import convert
from tflite.convert.variants import Variant
from tflite.host.edge_classifier import EdgeClassifier
from tflite.measure.parity import TextRow, compare, keras_reference

TOLERANCES: dict[Variant, float] = {
    "float32": 1e-5,
    "float16": 1e-3,
    "dynamic_int8": 0.05,
    "weight_int8": 0.02,
    "int4_tables": 0.3,
    "int8": 0.15,
}
TEXTS = ("the film is good", "the film is bad.", "", "Café films!", "the " * 40)
APART: tuple[Variant, ...] = ("float32", "dynamic_int8", "int4_tables", "int8")
PAIRS = [TextRow(text, pair) for text, pair in zip(TEXTS, (*TEXTS[2:], *TEXTS[:2]), strict=True)]


@pytest.mark.slow_variants
@pytest.mark.parametrize("family", sorted(tiny_checkpoints.CONFIGS))
def test_a_preset_becomes_a_bundle(family: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path / "preset", family)
    config = PresetConfig(preset=str(tmp_path / "preset"))
    tokenizer = preset_tokenizer(config.preset, 16)
    model = build_model(config, tokenizer=tokenizer, outputs=tiny.LABELS.outputs)
    fill_surface(model)
    restored = RestoredModel(model, tokenizer, tiny.LABELS, TaskConfig())
    manifest = tiny.manifest(lengths=(16,), pad_id=tokenizer.pad_id)
    float32 = Float32Model(restored, convert(model, manifest, tiny.LABELS), (16,), "here")
    rows = [TextRow(text) for text in TEXTS]
    reference = keras_reference(restored, rows, 16)
    for variant, tolerance in TOLERANCES.items():
        float32.write_bundle(tmp_path / variant, variant, FileDescription("tiny"), golden=rows, calibration=rows)
        found = compare(EdgeClassifier(tmp_path / variant), reference, rows, 1)
        assert found.other_token_ids == 0
        assert found.max_difference < tolerance
        check_golden(tmp_path / variant)


@pytest.mark.slow
@pytest.mark.parametrize("family", [kind for kind in sorted(tiny_checkpoints.CONFIGS) if kind != "roberta"])
def test_a_preset_that_reads_two_texts_apart_becomes_a_bundle(family: str, tmp_path: Path) -> None:
    """The longest length is the position table's; the separate pass has one token more."""
    tiny_checkpoints.write(tmp_path / "preset", family)
    config = PresetConfig(preset=str(tmp_path / "preset"), pair_encoding="both")
    tokenizer = preset_tokenizer(config.preset, 24)
    model = build_model(config, tokenizer=tokenizer, outputs=tiny.LABELS.outputs, two_texts=True)
    fill_surface(model)
    model.get_layer("logits").kernel.assign(np.random.default_rng(0).normal(0, 0.5, (8 + 17, 3)))
    restored = RestoredModel(model, tokenizer, tiny.LABELS, TaskConfig(text_pair="other"))
    lengths = (9, 24)
    manifest = tiny.manifest(lengths=lengths, pad_id=tokenizer.pad_id, pairs=True)
    float32 = Float32Model(restored, convert(model, manifest, tiny.LABELS), lengths, "here")
    reference = keras_reference(restored, PAIRS, max(lengths))
    assert np.ptp(reference.numbers, axis=0).max() > 0.05, "the rows differ"
    for variant in APART:
        float32.write_bundle(tmp_path / variant, variant, FileDescription("tiny"), golden=PAIRS, calibration=PAIRS)
        found = compare(EdgeClassifier(tmp_path / variant), reference, PAIRS, 1)
        assert found.other_token_ids == 0
        assert found.max_difference < TOLERANCES[variant]
        check_golden(tmp_path / variant)
