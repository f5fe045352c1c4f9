"""Training a preset that also reads two texts apart: its defaults, what it learns, every precision."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tiny_checkpoints

from models.build import build_model, layer_depths
from models.config import PresetConfig, TaskConfig
from models.presets.preset import preset_tokenizer
from models.training import eval_metrics
from models.training.batches import Batches
from models.training.token_rows import TokenRows
from models.training.training_run import TrainedModel, plain, train
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

LABELS = LabelSpace(("other", "same"), (1, 1), 2)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bert")
    tiny_checkpoints.write(folder, "bert")
    return str(folder)


def rows(count: int, seed: int) -> TokenRows:
    """Pairs of two words each; the label is whether both texts are the same word twice."""
    generator = np.random.default_rng(seed)
    first, second = generator.integers(5, 13, (2, count))
    second = np.where(generator.random(count) < 0.5, first, second)
    ids = [[2, a, a, 3, b, b, 3] for a, b in zip(first, second, strict=True)]
    return TokenRows.from_lists(ids, (first == second).astype(np.int32), [[0] * 4 + [1] * 3] * count)


def fit(bert: str, count: int = 64, encoding: str = "both", **settings: Any) -> TrainedModel:
    config, tokenizer = PresetConfig(preset=bert, pair_encoding=encoding, pooling="mean"), preset_tokenizer(bert, 16)

    def make_model() -> keras.Model:
        return build_model(config, tokenizer=tokenizer, outputs=2, two_texts=True)

    trained = train(
        make_model,
        rows(count, 0),
        rows(100, 1),
        task=TaskConfig(text_pair="other"),
        config=TrainConfig(**{"xla": False, "precision": "float32", "epochs": 1, **settings}),
        labels=LABELS,
        tokenizer=tokenizer,
        depths=layer_depths,
        preset=True,
    )
    return plain(trained, make_model)


def weights(trained: TrainedModel) -> np.ndarray:
    return np.concatenate([variable.numpy().ravel() for variable in trained.model.weights])


@pytest.fixture(scope="module")
def default(bert: str) -> TrainedModel:
    return fit(bert)


@pytest.mark.slow
def test_the_default_rates_are_those_of_two_texts(bert: str, default: TrainedModel) -> None:
    alike, decayed = (fit(bert, layer_decay=decay, head_multiple=head) for decay, head in ((1.0, 3.0), (0.85, 10.0)))
    np.testing.assert_array_equal(weights(default), weights(alike))
    assert np.abs(weights(default) - weights(decayed)).max() > 1e-5


def test_the_exported_preset_has_the_metric_that_was_measured(default: TrainedModel) -> None:
    evaluation = rows(100, 1)
    batch = Batches(evaluation, (8,), len(evaluation), pad_id=0).make_batch(np.arange(len(evaluation)))
    found = np.asarray(default.model(batch.features, training=False))
    measured = eval_metrics.compute(found, np.asarray(evaluation.targets), TaskConfig(), LABELS)
    best = default.report["history"][default.report["best_epoch"] - 1]
    assert default.report["linear_weight"] > 0
    assert default.report["head_start"]["rows"] == 64
    assert default.report["token_vectors"]["trained"] < default.report["token_vectors"]["all"] == 3000
    assert (measured["loss"], measured["accuracy"]) == pytest.approx((best["loss"], best["accuracy"]), abs=1e-4)


@pytest.mark.slow
def test_xla_compiles_both_passes(bert: str, default: TrainedModel) -> None:
    losses = [trained.report["history"][0]["train_loss"] for trained in (fit(bert, xla=True), default)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_equal_is_learned_in_seconds(bert: str, precision: str) -> None:
    trained = fit(bert, 1000, epochs=6, learning_rate=0.01, precision=precision)
    assert trained.report["best_value"] > 0.95
    assert {layer.dtype_policy.name for layer in trained.model.layers} <= {"float32", "int32"}
