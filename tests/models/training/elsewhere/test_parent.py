"""A training in a child process is the training of `models.training.training_run`, whatever ends either process.

The child runs TensorFlow here, as this process does: JAX and PyTorch differ in the step alone (test_frameworks.py).
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import stored_training
import tiny_checkpoints
from progress_triggers import OnceAt

from models import runtime
from models.errors import Interrupted, TrainingError
from models.training.training_request import Request
from models.training.training_run import TrainedModel

FOLLOWING_FROM_THE_PROCESS = (
    "seconds",
    "first_step_seconds",
    "tokens_per_second",
    "padded_tokens_per_second",
    "peak_memory_mb",
)


def _here(request: Request) -> TrainedModel:
    """The same training in this process."""
    alone = replace(request, checkpoint_dir=None, log_dir=None)
    told = {"on_progress": lambda progress: None, "on_note": lambda text: None}
    return alone.train(request.build, **told)


def _weights(trained: TrainedModel) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in trained.model.weights if "seed" not in weight.path]


def _process_ids(parent: int) -> list[int]:
    """The children of a process."""
    return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.slow
def test_it_is_the_same_training(tmp_path: Path) -> None:
    request, notes, progress = stored_training.store(tmp_path, mislabelled=2, checkpoint_steps=24), [], []
    there = stored_training.fit(request, tmp_path, on_note=notes.append, on_progress=progress.append)
    here = _here(request)
    assert here.model.get_layer("surface").weights, "the linear model comes back, too"
    for ours, theirs in zip(_weights(there), _weights(here), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert there.labels == here.labels
    assert there.labels.temperatures
    assert there.task == here.task
    for name in FOLLOWING_FROM_THE_PROCESS:
        del there.report[name], here.report[name]
    assert {**there.report, "started_anew_because": ""} == here.report
    assert [each.evaluation["accuracy"] for each in progress if each.evaluation] == [
        each["accuracy"] for each in here.report["history"]
    ]
    assert notes[-1].startswith("trained for 3 of 3 epochs")
    assert list((tmp_path / "logs" / "train").iterdir())
    assert there.checkpoint.step == there.report["steps"]
    there.checkpoint.remove()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["several labels of a pair", "numbers with a preset"])
def test_it_is_the_same_training_for_other_tasks(tmp_path: Path, kind: str) -> None:
    settings: dict[str, Any] = {"task": "multi_label", "pairs": True}
    if kind == "numbers with a preset":
        tiny_checkpoints.write(tmp_path / "bert", "bert")
        # Otherwise a child on two cores trains in halves (`one_thread_per_operation`), which drop other activations.
        settings = {"task": "regression", "preset": tmp_path / "bert", "xla": True}
    request = stored_training.store(tmp_path, epochs=1, **settings)
    there, here = stored_training.fit(request, tmp_path), _here(request)
    for ours, theirs in zip(_weights(there), _weights(here), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert there.labels == here.labels
    assert there.task == here.task
    assert there.report["history"][0]["train_loss"] == here.report["history"][0]["train_loss"]
    assert there.report["token_vectors"] == here.report["token_vectors"]
    assert (here.report["token_vectors"] is not None) == (kind == "numbers with a preset")


@pytest.mark.slow
def test_a_signal_to_the_parent_keeps_a_checkpoint(tmp_path: Path) -> None:
    request, before = stored_training.store(tmp_path, checkpoint_steps=1), signal.getsignal(signal.SIGTERM)
    stop = OnceAt(3, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted) as caught:
        stored_training.fit(request, tmp_path, on_progress=stop)
    assert signal.getsignal(signal.SIGTERM) is before
    assert f"in {tmp_path / 'checkpoints'}" in caught.value.kept
    assert "training continues at step" in caught.value.then
    notes: list[str] = []
    again = stored_training.fit(request, tmp_path, on_note=notes.append)
    assert any(note.startswith("training continues after step ") for note in notes)
    for ours, theirs in zip(_weights(again), _weights(_here(request)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_killed_child_is_an_error_and_the_training_goes_on(tmp_path: Path) -> None:
    request = stored_training.store(tmp_path, checkpoint_steps=1)

    def kill() -> None:
        for child in _process_ids(os.getpid()):
            os.kill(child, signal.SIGKILL)

    with pytest.raises(TrainingError) as caught:
        stored_training.fit(request, tmp_path, on_progress=OnceAt(3, kill))
    assert "SIGKILL" in caught.value.got
    assert "memory" in caught.value.fix
    assert stored_training.fit(request, tmp_path).report["resumed_at_step"] >= 2


@pytest.mark.slow
def test_a_killed_parent_ends_its_child(tmp_path: Path, repository: Path) -> None:
    path = {"PYTHONPATH": os.pathsep.join(map(str, (repository, repository / "tests/support/training")))}
    settings = '{"epochs": 1000, "early_stopping": 1000, "checkpoint_steps": 1}'
    command = [sys.executable, stored_training.__file__, str(tmp_path), settings]
    parent = subprocess.Popen(command, env={**os.environ, **path}, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    while int(parent.stdout.readline()) < 3:
        pass
    (child,) = _process_ids(parent.pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list((tmp_path / "checkpoints").glob("*/checkpoint.npz"))


def _without_rows(request: Request) -> None:
    (request.train_rows / "rows.json").unlink()


@pytest.mark.slow_variants
@pytest.mark.parametrize(
    ("train", "damage", "words"),
    [
        ({"learning_rate": 1e30, "clip_norm": None}, None, ("the loss is not finite", "a lower train.learning_rate")),
        ({}, _without_rows, ("ended without a result", "exit code 1", "AssertionError", "a bug of Transom")),
    ],
)
def test_an_error_of_the_child_is_the_parents(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    train: dict[str, Any],
    damage: Callable[[Request], None] | None,
    words: tuple[str, ...],
) -> None:
    request = stored_training.store(tmp_path, **train)
    if damage is not None:
        damage(request)
    with pytest.raises(TrainingError) as caught:
        stored_training.fit(request, tmp_path)
    for word in words:
        assert word in caught.value.render()
    if damage is not None:
        assert "printed by the training on tensorflow:\n" in caplog.text
        assert "Traceback" in caplog.text


@pytest.mark.slow
def test_the_operating_systems_error_in_the_child_is_the_parents(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = stored_training.store(tmp_path)
    (request.train_rows / "token_ids.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"token_ids\.npy") as caught:
        stored_training.fit(request, tmp_path)
    assert caught.value.errno == errno.ENOENT
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_request_before_the_child_is_ready_is_heard_also_where_ctrl_c_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def build(request: Request) -> keras.Model:
        signal.raise_signal(number)  # as the child starts
        return before(request)

    request, before = stored_training.store(tmp_path, epochs=1000, early_stopping=1000), Request.build
    monkeypatch.setattr(Request, "build", build)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            stored_training.fit(request, tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_an_error_of_the_parent_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Request) -> keras.Model:
        raise MemoryError

    monkeypatch.setattr(Request, "build", fail)
    before = _process_ids(os.getpid())
    with pytest.raises(MemoryError):
        stored_training.fit(stored_training.store(tmp_path), tmp_path)
    assert _process_ids(os.getpid()) == before


@pytest.mark.parametrize(("backend", "expected"), [("tensorflow", "--of=prepare"), ("jax", runtime.XLA_FLAGS_AS_GIVEN)])
def test_another_framework_gets_xlas_flags_as_the_user_gave_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, expected: str
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text('#!/bin/sh\necho "flags: [$XLA_FLAGS]" >&2\nexit 3\n')
    interpreter.chmod(0o755)
    monkeypatch.setenv("XLA_FLAGS", "--of=prepare")
    request = stored_training.store(tmp_path, backend=backend, xla="auto")
    with pytest.raises(TrainingError, match=re.escape(f"flags: [{expected}]")):
        stored_training.fit(request, tmp_path, interpreter=interpreter)
