"""The same rows and the same initial weights give the same training on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import framework_environments
import framework_steps
import isolated
import numpy as np
import pytest

_STEPS = Path(framework_steps.__file__)
CASES: dict[str, dict[str, Any]] = {
    "labels": {"label_smoothing": 0.1, "class_weights": {"yes": 2.0}},
    "pairs": {"task": "multi_label", "pairs": True, "accumulate": 3, "steps": 12},
    "numbers": {"task": "regression", "ema_momentum": 0.9, "layer_decay": 0.8, "steps": 12},
    "remat": {"remat": True, "steps": 12},
    "half": {"precision": "mixed_float16", "steps": 3},
    "frozen": {"precision": "mixed_bfloat16", "steps": 3, "frozen": True, "halved": True},
}
# On several virtual devices, which only JAX has in this process; TensorFlow gives the same on one.
SPREAD: dict[str, dict[str, Any]] = {
    "copies": {"devices": 8, "steps": 12, "accumulate": 2},
    "parts": {"devices": 2, "shards": 2, "steps": 12, "ema_momentum": 0.9},
    "copies_of_parts": {"devices": 8, "shards": 2, "steps": 12, "pairs": True, "task": "multi_label"},
}


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, np.ndarray]]:
    """What TensorFlow gives for each case."""
    on_one = {"devices": None, "shards": 1}
    found = {n: framework_steps.take(None, **{**settings, **on_one}) for n, settings in (CASES | SPREAD).items()}
    first = [value for name, value in found["labels"].items() if name.startswith("first")]
    found["labels"] |= framework_steps.losses_with_dropout(first)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_steps_are_those_of_tensorflow(
    framework: str, expected: dict[str, dict[str, np.ndarray]], repository: Path, tmp_path: Path
) -> None:
    python = framework_environments.python(framework)
    settings = CASES if framework == "torch" else CASES | SPREAD
    expected = {name: known for name, known in expected.items() if name in settings}
    for name, known in expected.items():
        weights = {key.removeprefix("first"): value for key, value in known.items() if key.startswith("first")}
        np.savez(tmp_path / f"{name}.npz", settings=np.array(json.dumps(settings[name])), **weights)
    isolated.run(python, [_STEPS, framework, tmp_path], path=[repository])
    for name, known in ((name, known) for name, known in expected.items() if name not in ("half", "frozen")):
        with np.load(tmp_path / f"{name}-out.npz") as found:
            assert {*found.files} >= {*known}
            for key in (key for key in found.files if key.startswith("last")):
                np.testing.assert_allclose(found[key], known[key], atol=5e-4, err_msg=f"{name}, {key}")
            np.testing.assert_allclose(found["losses"], known["losses"], atol=1e-4, err_msg=name)
            np.testing.assert_allclose(found["norms"], known["norms"], rtol=5e-3, err_msg=name)
            np.testing.assert_allclose(found["logits"], known["logits"], atol=1e-3, err_msg=name)
            shards = settings[name].get("shards", 1)
            assert 1 / shards <= found["held"] < (1 if shards == 1 else 0.6) + 1e-9, "what is on the first device"
    assert expected["labels"]["losses"][-5:].mean() < expected["labels"]["losses"][:5].mean(), "something is learned"
    with np.load(tmp_path / "labels-out.npz") as found:
        assert found["dropped"] == found["dropped_again"], "dropout depends on the seed and the step"
        assert abs(found["dropped"] - found["dropped_next"]) > 1e-4
        for kind in ("", "_norm"):
            np.testing.assert_allclose(found[f"dropped_remat{kind}"], found[f"dropped{kind}"], rtol=1e-4)
            if framework == "jax":  # draws the same masks
                name = f"dropped{kind}"
                np.testing.assert_allclose(found[name], expected["labels"][name], rtol=1e-4)
    with np.load(tmp_path / "half-out.npz") as found:  # rounding differs, so only the start can be compared
        for key in ("losses", "norms"):
            np.testing.assert_allclose(found[key][0], expected["half"][key][0], rtol=0.02)
    with np.load(tmp_path / "frozen-out.npz") as found:
        # XLA may leave out a rounding to bfloat16.
        np.testing.assert_allclose(found["losses"], found["exact"], rtol=1e-2 if framework == "jax" else 0.0)
        np.testing.assert_allclose(found["losses"][0], expected["frozen"]["losses"][0], rtol=0.02)
        assert found["halved"] == expected["frozen"]["halved"] > 10
        for key in (key for key in found.files if key.startswith("last")):
            np.testing.assert_allclose(found[key], expected["frozen"][key], atol=0.05, err_msg=key)
