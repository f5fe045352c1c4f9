"""Steps of a real training, timed and traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stored_training

from models.errors import TrainingError
from models.training.inspection.matrix_work import step_flops
from models.training.inspection.operation_kinds import DROPOUT, KINDS, OPTIMIZER, PRODUCTS
from models.training.inspection.operation_times import BETWEEN, COMPILED, WAITING
from models.training.inspection.some_steps import first_steps
from models.training.inspection.traced_steps import Profile, profile
from models.training.training_request import Request


def _request(folder: Path, **changes: Any) -> Request:
    return replace(stored_training.store(folder, **changes), checkpoint_dir=None, log_dir=None)


def _profile(request: Request, folder: Path, steps: int = 6) -> tuple[Profile, list[str]]:
    said: list[str] = []
    return profile(request, steps, folder, on_note=lambda text: None, on_step=said.append), said


@pytest.mark.slow_variants
@pytest.mark.parametrize(
    "changes",
    [{}, {"xla": True}, {"xla": "parts", "accumulate": 2}, {"precision": "mixed_float16"}],
    ids=["plain", "xla", "parts", "scaled"],
)
def test_the_parts_are_the_whole(tmp_path: Path, changes: dict[str, Any]) -> None:
    found, said = _profile(_request(tmp_path, **changes), tmp_path / "trace")
    assert (found.steps, found.traced) == (6, 6)
    assert sum(found.parts.values()) == pytest.approx(found.traced_seconds_per_step, rel=1e-9)
    assert set(found.parts) <= {*KINDS, WAITING, BETWEEN, COMPILED}
    assert {PRODUCTS, OPTIMIZER, BETWEEN} <= set(found.parts)
    assert (DROPOUT in found.parts) == (changes.get("xla") is not True)
    assert list(found.parts.values()) == sorted(found.parts.values(), reverse=True)
    assert found.parts[OPTIMIZER] < found.traced_seconds_per_step
    assert 0.0 < found.waiting_per_step < found.seconds_per_step
    assert 0.0 <= found.padding < 1.0
    assert found.compiled_seconds >= found.first_step_seconds > found.seconds_per_step
    assert found.training_steps == (12 if "accumulate" in changes else 24)
    assert found.peak_memory_mb > 100
    assert len(list((tmp_path / "trace").rglob("*.xplane.pb"))) == 1
    assert "step 6 of 6" in said
    assert not list(tmp_path.rglob("checkpoint*"))


def test_more_steps_than_the_training_has(tmp_path: Path) -> None:
    found, _ = _profile(_request(tmp_path, epochs=1), tmp_path / "trace", 12)
    assert (found.steps, found.training_steps) == (12, 8)


def test_the_work_of_the_products_is_that_of_the_shapes(tmp_path: Path) -> None:
    with _request(tmp_path).prepare(lambda text: None) as ready:
        loop = ready.loop
        (batches,) = first_steps(loop, 1)
        (batch,) = batches
        lines, length = batch.features["rows"].shape
        tokens, width, rows = lines * length, 8, len(batch.targets)
        kernels = sum(
            int(variable.value.shape.num_elements())
            for variable in loop.model.trainable_variables
            if variable.name == "kernel" and "logits" not in variable.path
        )
        (logits,) = [one for one in loop.model.trainable_variables if one.path == "logits/kernel"]
        attention = 12.0 * tokens * length * width
        expected = 6.0 * (kernels * tokens + int(logits.value.shape.num_elements()) * rows) + attention
        assert step_flops(loop, batches) == pytest.approx(expected)
        assert step_flops(loop, [batch, batch]) == pytest.approx(2 * expected)


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="transom run --debug --steps 2"):
        _profile(_request(tmp_path, learning_rate=1e30), tmp_path / "trace")
