"""Presets are trained without what a training does not need; it is back whatever happens meanwhile."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tiny_checkpoints
from progress_triggers import OnceAt

from models.errors import Interrupted
from models.network.surface import find_surface
from models.presets.backbones import merge_lora
from models.training.variables import set_aside

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]
# What is trained, and whether some of it is left out of the table of vectors, or in half precision.
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "everything": ({}, "used"),
    "all but the vectors": ({"freeze": "embeddings"}, "halved"),
    "a few matrices": ({"lora_rank": 2}, "halved"),
}
ALIKE = 0.999  # a cosine; bfloat16 rounds, and AdamW makes as large a step where a gradient is all rounding
TRAINING = {"precision": "mixed_bfloat16", "epochs": 2, "contrastive": "off"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("preset")
    tiny_checkpoints.write(made, "bert")
    return made


def without_dropout(folder: Path, copy: Path) -> str:
    """A copy of the preset; each replica would drop other activations."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (copy / "config.json").write_text(json.dumps({**config, **none}))
    return str(copy)


def moved(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> np.ndarray:
    """What a training changed, as one vector."""
    pairs = [(then, now) for then, now in zip(before, after, strict=True) if now.dtype == np.float32]
    return np.concatenate([(now - then).ravel() for then, now in pairs])


def weights(trained: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in trained.model.weights]


def interrupted(tiny: ModuleType, folder: Path, options: dict[str, Any]) -> OnceAt:
    """Stops a training in its second epoch; says where."""
    stop = OnceAt(9, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        tiny.fit(checkpoint_dir=folder, on_progress=stop, **options)
    assert 9 <= stop.done_at < 16
    return stop


@pytest.mark.slow_variants
@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_training_ends_with_the_same_weights(
    way: str, tiny: ModuleType, folder: Path, tmp_path: Path
) -> None:
    settings, saved = WAYS[way]
    options = {"evaluation": tiny.rows(80, 1), "train_config": TRAINING, **tiny.preset(preset=str(folder), **settings)}
    stop = interrupted(tiny, tmp_path, options)
    again, whole = tiny.fit(checkpoint_dir=tmp_path, **options), tiny.fit(**options)
    assert again.report["resumed_at_step"] == stop.done_at
    assert (whole.report["token_vectors"] is not None) == (saved == "used")
    assert any(weight.any() for weight in find_surface(whole.model).get_weights())
    for one, other in zip(weights(again), weights(whole), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow_variants
@pytest.mark.parametrize("way", WAYS)
def test_the_trained_model_is_in_float32_and_whole(way: str, tiny: ModuleType, folder: Path) -> None:
    settings, _ = WAYS[way]
    preset = tiny.preset(preset=str(folder), **settings)
    model = tiny.fit(train_config={**TRAINING, "epochs": 1}, **preset).model
    untrained, rows = preset["make_model"](), tiny.features(tiny.rows(9))
    assert [(v.path, v.shape) for v in model.weights] == [(v.path, v.shape) for v in untrained.weights]
    assert "bfloat16" not in {v.dtype for v in model.weights}
    for one, other in zip(model.non_trainable_variables, untrained.non_trainable_variables, strict=True):
        if one.dtype == "float32" and not one.path.startswith("surface"):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    before = model(rows).numpy()
    merge_lora(model)
    np.testing.assert_allclose(model(rows).numpy(), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["everything", "a few matrices"])
def test_whether_weights_could_be_set_aside_does_not_decide_which_checkpoint_is_used(
    way: str, tiny: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train_config": TRAINING, **tiny.preset(preset=str(folder), **WAYS[way][0])}
    stop = interrupted(tiny, tmp_path, options)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    whole = tiny.fit(**options)
    monkeypatch.setattr(set_aside, "_write", full)
    again = tiny.fit(checkpoint_dir=tmp_path, **options)
    assert again.report["resumed_at_step"] == stop.done_at
    for one, other in zip(weights(again), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "tuned"), [*((way, False) for way in WAYS), ("everything", True), ("all but the vectors", True)]
)
def test_two_replicas_train_as_one(
    way: str, tuned: bool, tiny: ModuleType, run_tiny: RunTiny, folder: Path, tmp_path: Path
) -> None:
    settings = {"preset": without_dropout(folder, tmp_path / "preset"), "dropout": 0.0, **WAYS[way][0]}
    config = {"precision": "mixed_bfloat16", "epochs": 1, "contrastive": "auto" if tuned else "off"}
    shared = {"count": 40 if tuned else 120}
    _, several, report = run_tiny(
        tmp_path / "two.npz", train_config={**config, "devices": 2}, of_preset=settings, **shared
    )
    preset = tiny.preset(**settings)
    keras.utils.set_random_seed(0)
    before = [variable.numpy() for variable in preset["make_model"]().weights]
    one = tiny.fit(train_config={**config, "strategy": "none"}, **shared, **preset)
    assert report["replicas"] == 2
    assert bool(report.get("contrastive")) == bool(one.report.get("contrastive")) == tuned
    expected, found = (moved(before, each) for each in (weights(one), several))
    assert expected @ found / (np.linalg.norm(expected) * np.linalg.norm(found)) > ALIKE
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.01)
