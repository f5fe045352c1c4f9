"""The weight of the linear model beside the encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from models.config import EncoderConfig, PresetConfig, TaskConfig
from models.training.fusion import FEWEST_ROWS, Fusion, fit, resolve_linear_part
from tflite.host.labels import LabelSpace

_LABELS = LabelSpace(labels=("a", "b", "c"), counts=(1, 1, 1), rows=3)
_NUMBER = LabelSpace(mean=2.0, std=0.5)


def _logits(seed: int, signal: float, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, 3] that know the targets [N] as well as `signal` says."""
    source = np.random.default_rng(7)
    targets = source.integers(0, 3, rows)
    noise = np.random.default_rng(seed).normal(size=(rows, 3))
    return (noise + signal * np.eye(3)[targets]).astype(np.float32), targets


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Log loss at the best temperature of a grid."""
    rows = np.arange(len(targets))
    return min(-special.log_softmax(logits * f, axis=1)[rows, targets].mean() for f in np.geomspace(0.05, 20, 200))


def test_the_weight_has_the_lowest_loss_of_all_weights() -> None:
    encoder, targets = _logits(1, 2.0)
    linear, _ = _logits(2, 1.0)
    found = fit(encoder, linear, targets, task=TaskConfig(), labels=_LABELS, default=0.0)
    best = _loss(found.apply(encoder, linear), targets)
    assert found.offset == 0.0
    assert 0.3 < found.linear / found.encoder < 0.7  # independent noise: as the signals
    assert all(_loss(Fusion(w).apply(encoder, linear), targets) > best - 1e-4 for w in np.linspace(0, 3, 31))


def test_a_linear_model_that_knows_nothing_hardly_counts() -> None:
    encoder, targets = _logits(1, 3.0)
    found = fit(encoder, _logits(2, 0.0)[0], targets, task=TaskConfig(), labels=_LABELS, default=1.0)
    assert found.linear / found.encoder < 0.15


def test_each_label_counts_where_rows_have_several() -> None:
    encoder, targets = _logits(1, 2.0)
    linear, _ = _logits(2, 1.0)
    task = TaskConfig(type="multi_label")
    found = fit(encoder - 1, linear - 0.5, np.eye(3, dtype=np.float32)[targets], task=task, labels=_LABELS, default=0.0)
    assert 0.2 < found.linear / found.encoder < 1.0


def test_a_regression_gets_the_least_squares() -> None:
    source = np.random.default_rng(0)
    true = source.normal(size=200)
    encoder, linear = (true + source.normal(size=200) * noise for noise in (0.5, 0.8))
    task = TaskConfig(type="regression")
    columns = [values[:, None].astype(np.float32) for values in (encoder * 2 + 1, linear)]
    found = fit(*columns, true * 0.5 + 2.0, task=task, labels=_NUMBER, default=0.0)
    fused = found.apply(*columns)[:, 0]
    assert fused == pytest.approx(true, abs=2.0)
    assert np.mean((fused - true) ** 2) < np.mean((encoder - true) ** 2)
    assert abs(np.mean(fused - true)) < 1e-3


@pytest.mark.parametrize(
    ("encoder", "linear", "targets"),
    [
        (*(_logits(seed, 1.0, FEWEST_ROWS - 1)[0] for seed in (1, 2)), _logits(1, 1.0, FEWEST_ROWS - 1)[1]),
        (np.full((80, 3), np.nan, np.float32), np.zeros((80, 3), np.float32), np.zeros(80, int)),
        (_logits(1, 50.0)[0], _logits(2, 50.0)[0], _logits(1, 1.0)[1]),
        (np.eye(3, dtype=np.float32)[np.zeros(80, int)] * 9, np.zeros((80, 3), np.float32), np.zeros(80, int)),
    ],
    ids=["few rows", "not finite", "all right", "one label"],
)
def test_rows_that_decide_nothing_leave_the_default(encoder: Any, linear: Any, targets: Any) -> None:
    for default in (0.0, 1.0):
        found = fit(encoder, linear, targets, task=TaskConfig(), labels=_LABELS, default=default)
        assert found == Fusion(default)


@pytest.mark.parametrize("linear", [np.zeros((80, 1)), np.arange(80.0)[:, None]], ids=["constant", "opposed"])
def test_a_linear_model_of_no_use_leaves_a_regression_as_it_is(linear: np.ndarray) -> None:
    encoder = np.arange(80.0, dtype=np.float32)[:, None]
    task = TaskConfig(type="regression")
    assert fit(encoder, -linear, np.arange(80.0), task=task, labels=_NUMBER, default=0.0) == Fusion(0.0)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_the_loss_is_lower_than_that_of_either_model_whatever_the_size_of_their_logits(size: float) -> None:
    encoder, targets = _logits(1, 2.0)
    linear, _ = _logits(2, 1.0)
    encoder, linear = encoder * size, linear * size
    found = fit(encoder, linear, targets, task=TaskConfig(), labels=_LABELS, default=1.0)
    fused, one, other = (_loss(logits, targets) for logits in (found.apply(encoder, linear), encoder, linear))
    assert fused < min(one, other)


@pytest.mark.parametrize("default", [0.0, 1.0])
def test_noise_does_not_count_in_a_regression(default: float) -> None:
    source = np.random.default_rng(3)
    true = source.normal(size=200)
    for seed in range(10, 16):
        noise = np.random.default_rng(seed).normal(size=(200, 1)).astype(np.float32)
        encoder = (true[:, None] + source.normal(size=(200, 1)) * 0.1).astype(np.float32)
        task = TaskConfig(type="regression")
        found = fit(encoder, noise, true * 0.5 + 2.0, task=task, labels=_NUMBER, default=default)
        assert 0.0 <= found.linear < 0.05
        assert np.mean((found.apply(encoder, noise)[:, 0] - true) ** 2) < 0.02


def test_a_preset_has_no_linear_part_that_could_not_be_weighed() -> None:
    preset, scratch = PresetConfig(preset="minilm-l6"), EncoderConfig()
    assert resolve_linear_part(preset, FEWEST_ROWS - 1).linear_rows == 0
    assert resolve_linear_part(preset, FEWEST_ROWS) == preset
    assert resolve_linear_part(scratch, 2) == scratch, "an encoder from scratch is trained on top of it"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("default", [0.0, 1.0])
def test_the_weights_have_a_limit_and_add_up_to_what_they_were_in_training(several: bool, default: float) -> None:
    """How large the logits should be is left to the temperature, which the user sees."""
    encoder, targets = _logits(1, 0.0)
    linear, _ = _logits(2, 1.5)
    task = TaskConfig(type="multi_label") if several else TaskConfig()
    wanted = np.eye(3, dtype=np.float32)[targets] if several else targets
    found = fit(encoder, linear, wanted, task=task, labels=_LABELS, default=default)
    assert found.linear / found.encoder == pytest.approx(5.0, rel=0.02)
    assert found.linear + found.encoder == pytest.approx(1.0 + default)
