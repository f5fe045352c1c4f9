"""Training a model that has a linear part: what is exported gives the logits by which its epoch was chosen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from models.build import build_model
from models.config import EncoderConfig, TaskConfig
from models.errors import Interrupted
from models.training import eval_metrics
from models.training.batches import Batches
from models.training.progress import Progress
from models.training.token_rows import TokenRows
from models.training.training_run import TrainedModel, plain, train
from models.training_config import TrainConfig

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]
SMALL = EncoderConfig(num_layers=1, width=8, num_heads=2, linear_rows=97, dropout=0.0)


def fitted(
    tiny: ModuleType,
    task: str,
    evaluation: TokenRows,
    preset: bool = False,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> TrainedModel:
    rows = tiny.rows(120, task=task)
    labels = tiny.labels(rows, task)

    def make_model() -> keras.Model:
        return build_model(SMALL, tokenizer=tiny.TOKENIZER, outputs=labels.outputs)

    trained = train(
        make_model,
        rows,
        evaluation,
        task=TaskConfig(type=task),
        config=TrainConfig(**{**tiny.QUICK, "contrastive": "off", **(settings or {})}),
        labels=labels,
        tokenizer=tiny.TOKENIZER,
        preset=preset,
        **options,
    )
    return plain(trained, make_model)


def logits(model: keras.Model, rows: TokenRows) -> np.ndarray:
    batch = Batches(rows, (20,), len(rows), pad_id=0).make_batch(np.arange(len(rows)))
    return np.asarray(model(batch.features, training=False))


@pytest.mark.slow_variants
@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
@pytest.mark.parametrize("preset", [False, True])
def test_the_exported_model_has_the_metric_that_was_measured(tiny: ModuleType, task: str, preset: bool) -> None:
    evaluation = tiny.rows(80, 1, task=task)
    trained = fitted(tiny, task, evaluation, preset)
    metric = trained.report["metric"]
    assert (metric == "calibrated_loss") == (task == "single_label" and not preset)
    measured = eval_metrics.compute(
        logits(trained.model, evaluation),
        np.asarray(evaluation.targets),
        TaskConfig(type=task),
        trained.labels,
        metric=metric,
    )
    assert trained.report["linear_weight"] > 0
    best = trained.report["history"][trained.report["best_epoch"] - 1]
    for name in ("loss", metric):
        assert measured[name] == pytest.approx(best[name], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"contrastive": "on"}, {"precision": "mixed_bfloat16"}, {"ema_momentum": 0.9}])
def test_however_it_was_trained_the_linear_part_counts_as_it_was_weighed(
    tiny: ModuleType, settings: dict[str, Any]
) -> None:
    evaluation = tiny.rows(80, 1)
    trained = fitted(tiny, "single_label", evaluation, preset=True, settings=settings)
    measured = eval_metrics.compute(
        logits(trained.model, evaluation), np.asarray(evaluation.targets), TaskConfig(), trained.labels
    )
    assert (trained.report["contrastive"] is not None) == ("contrastive" in settings)
    assert trained.report["linear_weight"] is not None
    best = trained.report["history"][trained.report["best_epoch"] - 1]
    assert measured["loss"] == pytest.approx(best["loss"], rel=0.02 if "precision" in settings else 1e-4)


@pytest.mark.slow
def test_two_replicas_weigh_it_as_one(tiny: ModuleType, run_tiny: RunTiny, tmp_path: Path) -> None:
    shared = {"fused": SMALL.model_dump(mode="json"), "eval_count": 80}
    strategies = ({"devices": 2}, {"strategy": "none"})
    (_, weights, two), (_, expected, one) = (
        run_tiny(tmp_path / "w.npz", train_config=config, **shared) for config in strategies
    )
    assert (two["replicas"], one["replicas"]) == (2, 1)
    assert two["linear_weight"] == pytest.approx(one["linear_weight"], rel=1e-3)
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow_variants
@pytest.mark.parametrize(("preset", "weight"), [(False, 1.0), (True, 0.0)])
def test_with_few_eval_rows_the_linear_part_counts_as_it_was_trained(
    tiny: ModuleType, preset: bool, weight: float
) -> None:
    trained = fitted(tiny, "single_label", tiny.rows(30, 1), preset)
    assert trained.report["linear_weight"] == weight


@pytest.mark.slow
def test_a_resumed_training_weighs_it_alike(tiny: ModuleType, tmp_path: Path) -> None:
    evaluation = tiny.rows(80, 1)

    def stop(now: Progress) -> None:
        if now.evaluation and now.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    whole = fitted(tiny, "single_label", evaluation)
    with pytest.raises(Interrupted):
        fitted(tiny, "single_label", evaluation, checkpoint_dir=tmp_path, on_progress=stop)
    resumed = fitted(tiny, "single_label", evaluation, checkpoint_dir=tmp_path)
    assert resumed.report["resumed_at_step"] == resumed.report["steps"]
    assert resumed.report["linear_weight"] == whole.report["linear_weight"]
    for ours, theirs in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.slow
def test_epochs_after_an_interruption_do_not_replace_a_better_one_before_it(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eval logits of the best epoch are not in the checkpoint: they are computed again."""
    monkeypatch.setattr("models.training.eval_metrics.is_better", lambda metric, value, best: best is None)
    settings, evaluation = {"epochs": 3, "early_stopping": 3}, tiny.rows(80, 1)

    def stop(now: Progress) -> None:
        if now.evaluation and now.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    whole = fitted(tiny, "single_label", evaluation, settings=settings)
    with pytest.raises(Interrupted):
        fitted(tiny, "single_label", evaluation, settings=settings, checkpoint_dir=tmp_path, on_progress=stop)
    resumed = fitted(tiny, "single_label", evaluation, settings=settings, checkpoint_dir=tmp_path)
    assert 0 < resumed.report["resumed_at_step"] < resumed.report["steps"]
    assert resumed.report["best_epoch"] == whole.report["best_epoch"] == 1
    assert resumed.report["linear_weight"] == whole.report["linear_weight"]
    assert resumed.labels == whole.labels, "the temperatures"
    for ours, theirs in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
