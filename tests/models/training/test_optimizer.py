from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from models.training.optimizer import WarmupDecay, make_optimizer, moving_averages, resolve_defaults
from models.training_config import TrainConfig


def _rates(shape: str, steps: int = 10, warmup: float = 0.2) -> list[float]:
    schedule = WarmupDecay(1.0, steps, warmup, shape)
    return [float(schedule(step)) for step in range(steps)]


def test_linear_schedule() -> None:
    assert _rates("linear") == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_cosine_schedule() -> None:
    expected = [0.5 * (1 + np.cos(np.pi * i / 8)) for i in range(8)]
    assert _rates("cosine") == pytest.approx([0.5, 1.0, *expected], abs=1e-6)


def test_constant_schedule_and_no_warmup() -> None:
    assert _rates("constant") == pytest.approx([0.5] + [1.0] * 9)
    assert _rates("linear", steps=4, warmup=0.0) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def _after_steps(model: keras.Model, optimizer: Any, steps: int = 3) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    for _ in range(steps):
        optimizer.apply(
            [keras.ops.convert_to_tensor(generator.normal(size=v.shape), "float32") for v in model.trainable_variables]
        )
    return [v.numpy() for v in model.trainable_variables]


def test_without_layers_it_is_keras_adamw(tiny: ModuleType) -> None:
    config = TrainConfig(learning_rate=0.1, weight_decay=0.3, clip_norm=2.0)
    keras.utils.set_random_seed(0)
    ours = tiny.model()
    theirs = keras.models.clone_model(ours)
    theirs.set_weights(ours.get_weights())
    keras_optimizer = keras.optimizers.AdamW(WarmupDecay(0.1, 8, 0.1, "linear"), weight_decay=0.3, global_clipnorm=2.0)
    keras_optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    keras_optimizer.build(theirs.trainable_variables)
    expected = _after_steps(theirs, keras_optimizer)
    found = _after_steps(ours, make_optimizer(ours, config, steps=8))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_the_rate_of_a_step_is_that_of_the_schedule_also_after_the_last(tiny: ModuleType, shape: str) -> None:
    config = TrainConfig(learning_rate=0.1, warmup=0.3, schedule=shape)
    optimizer, schedule = make_optimizer(tiny.model(), config, steps=6), WarmupDecay(0.1, 6, 0.3, shape)
    for step in range(8):
        optimizer.iterations.assign(step)
        assert optimizer.rate(step) == pytest.approx(float(schedule(step)), rel=1e-6, abs=1e-9)
        assert optimizer.rate(step) == pytest.approx(float(optimizer.learning_rate), rel=1e-6, abs=1e-9)


def test_biases_and_norms_are_not_decayed(tiny: ModuleType) -> None:
    model = tiny.model()
    optimizer = make_optimizer(
        model, TrainConfig(learning_rate=0.1, weight_decay=0.5, schedule="constant", warmup=0.0), steps=8
    )
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        kept = variable.name in ("bias", "gamma", "beta")
        np.testing.assert_allclose(variable.numpy(), 1.0 if kept else 0.95, rtol=1e-6, err_msg=variable.path)


def test_lower_layers_learn_more_slowly(tiny: ModuleType) -> None:
    model = tiny.model()
    config = TrainConfig(
        learning_rate=0.1, layer_decay=0.5, weight_decay=0.0, clip_norm=None, schedule="constant", warmup=0.0
    )
    optimizer = make_optimizer(model, config, steps=8, depths=tiny.depths(model))
    before = [v.numpy() for v in model.trainable_variables]
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    for variable, former in zip(model.trainable_variables, before, strict=True):
        rate = 0.1 * 0.5 ** (2 - tiny.depths(model)[variable.path])
        np.testing.assert_allclose(former - variable.numpy(), rate, rtol=1e-4, err_msg=variable.path)


def test_a_new_head_learns_faster(tiny: ModuleType) -> None:
    model = tiny.model()
    config = TrainConfig(
        learning_rate=0.01, head_multiple=10.0, weight_decay=0.0, clip_norm=None, schedule="constant", warmup=0.0
    )
    optimizer = make_optimizer(model, config, steps=8, depths=tiny.depths(model))
    before = [v.numpy() for v in model.trainable_variables]
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    for variable, former in zip(model.trainable_variables, before, strict=True):
        rate = 0.1 if tiny.depths(model)[variable.path] == 2 else 0.01
        np.testing.assert_allclose(former - variable.numpy(), rate, rtol=1e-4, err_msg=variable.path)


def test_the_moving_average_is_over_few_steps_at_first(tiny: ModuleType) -> None:
    model = tiny.model()
    optimizer = make_optimizer(model, TrainConfig(learning_rate=0.1, ema_momentum=0.15), steps=8)
    assert all(not average.numpy().any() for average in moving_averages(optimizer))
    expected = None
    for step in range(4):
        optimizer.apply([keras.ops.ones_like(v) * (step - 1.0) for v in model.trainable_variables])
        now = [v.numpy() for v in model.trainable_variables]
        momentum = min(0.15, step / (step + 10))
        expected = [momentum * a + (1 - momentum) * b for a, b in zip(expected or now, now, strict=True)]
    assert expected is not None
    for average, value, variable in zip(moving_averages(optimizer), expected, model.trainable_variables, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-5, atol=1e-6)
        assert np.abs(average.numpy() - variable.numpy()).max() > 1e-3


def test_without_momentum_there_are_no_averages(tiny: ModuleType) -> None:
    assert moving_averages(make_optimizer(tiny.model(), TrainConfig(learning_rate=0.1), steps=8)) == []


def test_defaults_depend_on_the_kind_of_model() -> None:
    scratch = resolve_defaults(TrainConfig(), preset=False)
    preset, lora = resolve_defaults(TrainConfig(), preset=True), resolve_defaults(TrainConfig(), preset=True, lora=True)
    assert (scratch.epochs, scratch.learning_rate, scratch.ema_momentum) == (10, 5e-4, 0.99)
    assert (preset.epochs, preset.learning_rate, preset.layer_decay) == (4, 1e-4, 0.85)
    assert preset.ema_momentum == lora.ema_momentum == 0.0
    assert (lora.epochs, lora.learning_rate, lora.layer_decay) == (4, 1e-3, 1.0)
    assert resolve_defaults(TrainConfig(epochs=1, learning_rate=1.0), preset=True).epochs == 1


def test_the_layers_of_a_preset_learn_alike_from_two_texts() -> None:
    one, two = (resolve_defaults(TrainConfig(), preset=True, two_texts=given) for given in (False, True))
    assert (one.layer_decay, one.head_multiple) == (0.85, 10.0)
    assert (two.layer_decay, two.head_multiple) == (1.0, 3.0)
    for kind in ({"preset": True, "lora": True}, {"preset": False}):
        assert resolve_defaults(TrainConfig(), two_texts=True, **kind) == resolve_defaults(TrainConfig(), **kind)
    asked = resolve_defaults(TrainConfig(layer_decay=0.5), preset=True, two_texts=True)
    assert (asked.layer_decay, asked.head_multiple) == (0.5, 3.0)


@pytest.mark.parametrize(
    ("rows", "epochs", "patience"), [(48, 50, 25), (1, 100, 50), (800, 4, 2), (799, 4, 2), (640, 5, 3), (10_000, 4, 2)]
)
def test_few_rows_are_trained_on_more_often(rows: int, epochs: int, patience: int) -> None:
    few = resolve_defaults(TrainConfig(), preset=True, rows=rows)
    assert (few.epochs, few.early_stopping) == (epochs, patience)


def test_few_rows_do_not_change_the_epochs_that_were_asked_for() -> None:
    asked = resolve_defaults(TrainConfig(epochs=2), preset=True, rows=8)
    assert (asked.epochs, asked.early_stopping) == (2, 2)
    assert resolve_defaults(TrainConfig(accumulate=100), preset=False, rows=3200).epochs == 100
