"""Weights that are not trained take half of the memory in mixed precision, and nothing else changes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from packed_gradients import loss_and_gradients

from models.build import build_model
from models.config import PresetConfig
from models.presets.preset import preset_tokenizer
from models.training.variables.frozen_weights import HalvedWeights

SETTINGS: list[dict[str, Any]] = [{"lora_rank": 2}, {"freeze": "encoder"}, {"freeze": "embeddings"}]


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def make(folder: Path, kind: str = "bert", **settings: Any) -> keras.Model:
    if not (folder / "config.json").exists():
        tiny_checkpoints.write(folder, kind)
    keras.utils.set_random_seed(0)
    config = PresetConfig(preset=str(folder), **settings)
    return build_model(config, tokenizer=preset_tokenizer(str(folder), 24), outputs=3)


def weights(model: keras.Model) -> list[tuple[str, str, np.ndarray]]:
    return [(v.path, str(v.dtype), np.array(tf.cast(v.value, "float32"))) for v in model.weights]


def size(model: keras.Model) -> int:
    return sum(v.value.dtype.size * v.value.shape.num_elements() for v in model.weights)


@pytest.mark.slow_variants
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_loss_and_gradients_are_the_same(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = make(tmp_path, kind, **settings)
    expected, trained = loss_and_gradients(model), {v.path for v in model.trainable_variables}
    halved = HalvedWeights(model)
    assert len(halved)
    for path, dtype, _ in weights(model):
        assert dtype == "float32" or path not in trained
    for one, other in zip(expected, loss_and_gradients(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fused", [False, True])
def test_parts_in_xla_take_them(fused: bool, tmp_path: Path) -> None:
    model = make(tmp_path, lora_rank=2)
    expected = loss_and_gradients(model, fused=fused)
    HalvedWeights(model)
    for one, other in zip(expected, loss_and_gradients(model, fused=fused), strict=True):
        np.testing.assert_allclose(one, other, atol=0.02 * (np.abs(one).max() + 1e-3))


def test_most_of_a_model_with_lora_takes_half_of_the_memory(tmp_path: Path) -> None:
    model = make(tmp_path, lora_rank=2, linear_rows=0)
    former = size(model)
    HalvedWeights(model)
    assert size(model) < 0.55 * former


def test_the_exact_weights_come_back(tmp_path: Path) -> None:
    model = make(tmp_path, lora_rank=2)
    former = weights(model)
    halved = HalvedWeights(model, tmp_path)
    rounded = weights(model)
    assert any((one != other).any() for (*_, one), (*_, other) in zip(former, rounded, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"config.json", "model.safetensors", "vocab.txt"})
    halved.restore()
    halved.restore()  # once is enough
    for (path, dtype, one), (again, type_again, other) in zip(former, weights(model), strict=True):
        assert (path, dtype) == (again, type_again)
        np.testing.assert_array_equal(one, other)


def test_a_model_without_frozen_weights_or_in_float32_stays_as_it_is(tmp_path: Path) -> None:
    assert not len(HalvedWeights(make(tmp_path)))
    keras.config.set_dtype_policy("float32")
    assert not len(HalvedWeights(make(tmp_path, lora_rank=2)))


def no_space(dir: Path | None) -> Any:
    return Path("/dev/full").open("r+b", buffering=0)


def no_space_at_the_end(dir: Path | None) -> Any:
    return Path("/dev/full").open("r+b", buffering=2**24)


def no_permission(dir: Path | None) -> Any:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("temporary_file", [no_space, no_space_at_the_end, no_permission])
def test_without_a_file_memory_is_lost_and_nothing_else(
    temporary_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(tmp_path, lora_rank=2)
    former = weights(model)
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)
    halved = HalvedWeights(model)
    assert not len(halved)
    assert "stay in float32" in caplog.text
    halved.restore()
    for (*_, one), (*_, other) in zip(former, weights(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_nearly_full_disk_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(tmp_path, lora_rank=2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000 * (path == tmp_path / "b")))
    assert not len(HalvedWeights(model, tmp_path / "a" / "deeper"))
    assert "0 MB are free of the 0 wanted" in caplog.text
    assert len(HalvedWeights(model, tmp_path / "b"))


HEAD_ONLY: dict[str, Any] = {"precision": "mixed_bfloat16", "epochs": 1}


def test_a_training_ends_with_the_exact_weights(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.config.set_dtype_policy("float32")
    restored: list[int] = []
    restore = HalvedWeights.restore
    monkeypatch.setattr(HalvedWeights, "restore", lambda self: (restored.append(len(self)), restore(self)))
    keras.utils.set_random_seed(0)
    expected = tiny.frozen()
    trained = tiny.fit(make_model=tiny.frozen, train_config={**HEAD_ONLY, "strategy": "none"}).model
    assert restored[0] > 5
    for one, other in zip(weights(trained), weights(expected), strict=True):
        assert one[:2] == other[:2]
        assert (one[2] == other[2]).all() == (not one[0].startswith("head")), one[0]


@pytest.mark.slow
def test_two_replicas_give_what_one_gives(tiny: ModuleType, run_tiny: Any, tmp_path: Path) -> None:
    keras.config.set_dtype_policy("float32")
    _, several, report = run_tiny(tmp_path / "two.npz", head_only=True, train_config={**HEAD_ONLY, "devices": 2})
    assert report["replicas"] == 2
    one = tiny.fit(make_model=tiny.frozen, train_config={**HEAD_ONLY, "strategy": "none"}).model
    for variable, value in zip(one.weights, several, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=0.02)
