"""`train`: the loss, the optimizer's steps, and the course of a tiny training."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from models_settings import PRESET
from setting_effects import Setting, setting

from models.config import TaskConfig
from models.network.rematerialized import Rematerialized
from models.training.frameworks.contract import make_step
from models.training.frameworks.devices import default_device
from models.training.loss import label_weights, row_loss, row_weights
from models.training.optimizer import make_optimizer, moving_averages, resolve_defaults
from models.training.progress import Progress
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

# XLA takes longer to compile than the tiny model to train.
QUICK = {"train.xla": False, "train.epochs": 2, "train.batch_size": 16, "train.learning_rate": 0.02}
LABELS = LabelSpace(("no", "yes"), (90, 10), 100)


def train(here: Setting, **options: Any) -> Any:
    """Trains the tiny model as the Trainer would."""
    return _train(here.models.train.model_dump_json()) if not options else _fit(here.models.train, **options)


@functools.cache
def _train(config: str) -> Any:
    return _fit(TrainConfig.model_validate_json(config))


def _fit(config: TrainConfig, **options: Any) -> Any:
    # Short rows all get the same length in batches, so they are traced once.
    rows, evaluation = tiny.rows(120, longest=8), tiny.rows(16, 1, longest=8)
    return tiny.fit(train_config=config.model_dump(), rows_=rows, **{"evaluation": evaluation, **options})


def optimizer(here: Setting, steps: int = 10) -> tuple[Any, list[keras.Variable]]:
    """The optimizer of a training of ten steps, and variables to move: an embedding and the head's kernel."""
    keras.utils.set_random_seed(0)
    model, models = tiny.model(), here.models
    config = resolve_defaults(models.train, preset=models.model.type == "preset")
    made = make_optimizer(model, config, steps=steps, depths=tiny.depths(model))
    return made, model.trainable_variables


def rates(here: Setting) -> list[float]:
    """The learning rate of each of ten steps."""
    made, _ = optimizer(here)
    return [float(made._learning_rate(step)) for step in range(10)]


def moved(here: Setting, *gradients: float) -> dict[str, np.ndarray]:
    """How the embedding of the tokens and the head's kernel have moved after gradients of these sizes."""
    made, variables = optimizer(here)
    before = [variable.numpy() for variable in variables]
    for size in gradients:
        made.apply([tf.fill(variable.shape, size) for variable in variables])
    after = {v.path: v.numpy() - old for v, old in zip(variables, before, strict=True)}
    return {"tokens": after["tokens/embeddings"], "head": after["head/kernel"]}


def mean_move(here: Setting, name: str) -> float:
    return float(np.abs(moved(here, 1.0)[name]).mean())


@setting("train.epochs", 1, 3, base=QUICK, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [train(here).report["epochs"] for here in (a, b)] == [1, 3]


@setting("train.batch_size", 16, 40, base=QUICK, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [train(here).report["steps"] for here in (a, b)] == [16, 6]  # 120 rows, twice


@setting("train.accumulate", 1, 4, base=QUICK, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [train(here).report["steps"] for here in (a, b)] == [16, 4]


@setting("train.learning_rate", 0.02, 0.05, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [max(rates(here)) for here in (a, b)] == pytest.approx([0.02, 0.05])


@setting("train.schedule", "linear", "constant", base={"train.learning_rate": 0.1}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert rates(a)[5] == pytest.approx(0.1 * 5 / 9)
    assert rates(b)[5] == pytest.approx(0.1)


@setting("train.warmup", 0.0, 0.5, base={"train.learning_rate": 0.1}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert rates(a)[0] == pytest.approx(0.1)
    assert rates(b)[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])


@setting("train.weight_decay", 0.0, 0.5, base={"train.learning_rate": 0.1, "train.warmup": 0.0}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert np.abs(moved(a, 0.0)["head"]).max() == 0
    _, variables = optimizer(b)
    head = next(v.numpy() for v in variables if v.path == "head/kernel")
    np.testing.assert_allclose(moved(b, 0.0)["head"], -0.05 * head, rtol=1e-4)


@setting("train.ema_momentum", 0.0, 0.9, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert moving_averages(optimizer(a)[0]) == []
    made, variables = optimizer(b)
    for _ in range(5):
        made.apply([tf.ones(variable.shape) for variable in variables])
    gap = [np.abs(v - kept).max() for v, kept in zip(variables, moving_averages(made), strict=True)]
    assert min(gap) > 0


@setting("train.layer_decay", 1.0, 0.5, base={**PRESET, "train.head_multiple": 1.0}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    # The embedding is two layers below the head.
    assert mean_move(a, "tokens") == pytest.approx(mean_move(a, "head"), rel=1e-2)
    assert mean_move(b, "tokens") == pytest.approx(0.25 * mean_move(b, "head"), rel=1e-2)


@setting("train.head_multiple", 1.0, 5.0, base={**PRESET, "train.layer_decay": 1.0}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert mean_move(b, "head") == pytest.approx(5 * mean_move(a, "head"), rel=1e-2)
    assert mean_move(b, "tokens") == pytest.approx(mean_move(a, "tokens"), rel=1e-2)


@setting("train.contrastive", "off", "on", base={**QUICK, **PRESET}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert _fit(a.models.train, preset=True).report["contrastive"] is None
    assert _fit(b.models.train, preset=True).report["contrastive"]["rows_per_label"] == 60.0


@setting("train.clip_norm", None, 1.0, base={"train.weight_decay": 0.0}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    # Clipped to one norm, both gradients are equal for Adam; otherwise the second is negligible.
    free, clipped = (np.abs(moved(here, 1000.0, 10.0)["head"]).mean() for here in (a, b))
    once = np.abs(moved(b, 1000.0)["head"]).mean()
    assert clipped > 1.1 * free > once


def loss(here: Setting, targets: Any, logits: Any, task: TaskConfig | None = None) -> float:
    made = row_loss(task or here.models.task, here.models.train, LABELS)
    return float(made(targets, np.array(logits, np.float32))[0])


@setting("train.label_smoothing", 0.0, 0.2, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert loss(a, np.array([1]), [[-9.0, 9.0]]) < 1e-3
    assert loss(b, np.array([1]), [[-9.0, 9.0]]) == pytest.approx(0.1 * 18, rel=1e-2)
    many, targets = TaskConfig(type="multi_label"), np.array([[0.0, 1.0]], np.float32)
    assert loss(b, targets, [[-9.0, 9.0]], many) > 100 * loss(a, targets, [[-9.0, 9.0]], many)


@setting("train.class_weights", "balanced", {"yes": 7.0}, steps="Trainer Evaluator")
def _(a: Setting, b: Setting) -> None:
    weights = [
        row_weights(np.array([0, 1]), 2, here.models.task, label_weights(here.models.task, here.models.train, LABELS))
        for here in (a, b)
    ]
    assert weights[0].tolist() == pytest.approx([100 / 180, 5.0])
    assert weights[1].tolist() == [1.0, 7.0]


_STILL = {**QUICK, "train.learning_rate": 1e-12, "train.epochs": 4, "train.ema_momentum": 0.0}


@setting("train.early_stopping", None, 1, base=_STILL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [train(here).report["epochs"] for here in (a, b)] == [4, 2]
    assert train(b).report["stopped_early"]


@setting("train.metric", "accuracy", "loss", base={**QUICK, "train.epochs": 4}, steps="Trainer Evaluator")
def _(a: Setting, b: Setting) -> None:
    by_accuracy, by_loss = train(a).report, train(b).report
    assert by_accuracy["best_value"] == max(epoch["accuracy"] for epoch in by_accuracy["history"])
    assert by_loss["best_value"] == min(epoch["loss"] for epoch in by_loss["history"])


@setting("train.precision", "float32", "mixed_bfloat16", base={**QUICK, "train.epochs": 1}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    for here, expected in ((a, "float32"), (b, "bfloat16")):
        found: set[str] = set()

        def note(progress: Progress, found: set[str] = found) -> None:
            found.add(keras.config.dtype_policy().compute_dtype)

        train(here, on_progress=note)
        assert found == {expected}


@setting("train.remat", False, True, base={**QUICK, "train.epochs": 1}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        forward = Rematerialized.call
        patch.setattr(
            Rematerialized, "call", lambda self, *args, **kw: calls.append(self) or forward(self, *args, **kw)
        )
        kept = train(a)
        assert not calls
        again = train(b)
    assert calls
    assert again.report["history"][0]["loss"] == pytest.approx(kept.report["history"][0]["loss"], rel=1e-4)


@setting("train.xla", False, True, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    compiled = []
    for here in (a, b):
        made, _ = optimizer(here)
        model = tiny.model()
        config = here.models.train
        step = make_step(model, made, row_loss(here.models.task, config, LABELS), default_device(), xla=config.xla)
        compiled.append(bool(getattr(step._inner, "_jit_compile", False)))
    assert compiled == [False, True]


@setting("train.seed", 0, 1, base=QUICK, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    kernels = [train(here).model.get_layer("head").kernel.numpy() for here in (a, b)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


@setting("train.checkpoint_steps", 1000, 2, base={**QUICK, "train.epochs": 1, "train.batch_size": 4}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    found = []
    for here, name in ((a, "rarely"), (b, "often")):
        folder = here.folder / name
        seen: list[bool] = []

        def look(progress: Progress, folder: Path = folder, seen: list[bool] = seen) -> None:
            if 20 <= progress.step < 30:
                seen.append(any(folder.rglob("checkpoint.npz")))

        train(here, checkpoint_dir=folder, on_progress=look)
        found.append(seen[0])
    assert found == [False, True]


@setting("evaluation.calibrate", True, False, base=QUICK, steps="Trainer Evaluator")
def _(a: Setting, b: Setting) -> None:
    for here, count in ((a, 1), (b, 0)):
        stored = json.loads(here.steps["Trainer"]["config"])["evaluation"]["calibrate"]
        trained = _fit(here.models.train, evaluation=tiny.rows(60, 1), calibrate=stored)
        assert len(trained.labels.temperatures) == count
