"""Whole trainings on JAX and PyTorch, each in an environment of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import framework_environments
import numpy as np
import pytest
import stored_training
from progress_triggers import OnceAt

from models.errors import Interrupted


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "devices"), [("jax", None), ("torch", None), ("torch", 2)])
def test_an_interrupted_training_goes_on_bit_by_bit(framework: str, devices: int | None, tmp_path: Path) -> None:
    python = framework_environments.python(framework)
    # Moving averages and rounded states of the optimizer are also part of the checkpoint.
    request = stored_training.store(
        tmp_path,
        backend=framework,
        devices=devices,
        checkpoint_steps=1,
        ema_momentum=0.9,
        accumulate=2,
        batch_size=8,
    )
    stop = OnceAt(11, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        stored_training.fit(request, tmp_path, python, on_progress=stop)
    again = stored_training.fit(request, tmp_path, python)
    again.checkpoint.remove()
    whole = stored_training.fit(request, tmp_path, python)
    assert again.report["framework"].startswith(f"{framework} ")
    assert whole.report["resumed_at_step"] is None
    assert again.report["resumed_at_step"] >= stop.done_at
    for ours, theirs in zip(again.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=ours.path)
    losses = [epoch["train_loss"] for epoch in whole.report["history"]]
    assert losses[-1] < losses[0]
