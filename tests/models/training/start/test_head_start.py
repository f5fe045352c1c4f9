"""The head starts as the regression that scikit-learn fits to the encoder's embeddings."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression, Ridge

from models.config import TaskConfig
from models.errors import Interrupted
from models.training.progress import Position, Progress
from models.training.start import head_start
from models.training.start.head_start import choose_rows, set_head, split
from models.training.training_run import TrainedModel
from tflite.host.labels import LabelSpace

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]
TASKS = ("single_label", "multi_label", "regression")
# A rate at which nothing is learned: the trained weights are those of the start.
STILL = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
PAIRS = {"preset": True, "pairs": True}


Starts = Callable[[str], tuple[TrainedModel, list[str]]]


@pytest.fixture(scope="module")
def starts(tiny: ModuleType) -> Starts:
    """Task to a model at its start, trained once, and what was said; no test changes it."""

    @cache
    def start(task: str) -> tuple[TrainedModel, list[str]]:
        notes: list[str] = []
        return tiny.fit(task=task, train_config=STILL, **PAIRS, on_note=notes.append), notes

    return start


def started(
    embeddings: np.ndarray, targets: np.ndarray, outputs: int, task: str = "single_label", **options: Any
) -> tuple[np.ndarray, int]:
    """The logits of the head, and the rows that it was fitted to."""
    head = keras.layers.Dense(outputs)
    head.build((None, embeddings.shape[1]))
    labels = options.pop("labels", LabelSpace(tuple(map(str, range(outputs))), (1,) * outputs, len(targets)))
    weights = options.pop("weights", np.ones(outputs))
    rows = set_head(head, embeddings, targets, task=TaskConfig(type=task), labels=labels, label_weights=weights)
    return np.asarray(head(embeddings)), rows


def normal(rows: int, width: int = 5, seed: int = 0) -> np.ndarray:
    return 7.0 * np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def scaled(embeddings: np.ndarray) -> np.ndarray:
    features = embeddings.astype(np.float64)
    return features / np.linalg.norm(features, axis=1).mean()


@pytest.mark.slow_variants
@pytest.mark.parametrize("task", TASKS)
def test_a_trained_model_starts_with_scikit_learns_regression(tiny: ModuleType, starts: Starts, task: str) -> None:
    trained, notes = starts(task)
    rows = tiny.rows(120, task=task)
    features = tiny.features(rows)
    embeddings, logits = scaled(np.asarray(split(trained.model)[0](features))), np.asarray(trained.model(features))
    if task == "regression":
        standardized = (rows.targets - rows.targets.mean()) / rows.targets.std()
        np.testing.assert_allclose(
            logits[:, 0], Ridge(alpha=1.0).fit(embeddings, standardized).predict(embeddings), atol=1e-4
        )
    elif task == "single_label":
        expected = LogisticRegression(C=1.0).fit(embeddings, rows.targets).predict_proba(embeddings)
        np.testing.assert_allclose(special.softmax(logits, axis=1), expected, atol=1e-4)
    else:
        for label in range(2):
            expected = LogisticRegression(C=1.0).fit(embeddings, rows.targets[:, label]).predict_proba(embeddings)[:, 1]
            np.testing.assert_allclose(special.expit(logits[:, label]), expected, atol=1e-4)
    report = trained.report["head_start"]
    assert json.loads(json.dumps(report)) == report
    assert report["rows"] == 120
    assert trained.report["contrastive"] is None
    kind = "ridge" if task == "regression" else "logistic"
    assert notes.count(f"the head starts as a {kind} regression on 120 rows") == 1


@pytest.mark.slow
def test_only_two_texts_with_a_preset_start_so(tiny: ModuleType) -> None:
    assert tiny.fit(train_config=STILL, pairs=True).report["head_start"] is None
    assert tiny.fit(train_config={**STILL, "contrastive": "off"}, preset=True).report["head_start"] is None
    tuned = tiny.fit(train_config={**STILL, "contrastive": "on"}, preset=True, count=40).report
    assert tuned["head_start"] is None
    assert tuned["contrastive"] is not None


@pytest.mark.parametrize("task", TASKS)
def test_the_first_steps_have_a_lower_loss_than_those_of_a_random_head(
    tiny: ModuleType, starts: Starts, task: str
) -> None:
    config = {**STILL, "contrastive": "off"}
    random = tiny.fit(task=task, train_config=config, preset=True).report["history"][0]["train_loss"]
    assert starts(task)[0].report["history"][0]["train_loss"] < random


def test_a_label_without_rows_gets_the_lowest_logit() -> None:
    logits, _ = started(normal(40), np.resize([0, 3], 40), 5)
    np.testing.assert_allclose(logits[:, [1, 2, 4]], logits.min(), rtol=1e-5)


def test_weights_of_labels_count_in_the_start() -> None:
    embeddings, targets = normal(40), np.resize([0, 0, 0, 1], 40)
    even, _ = started(embeddings, targets, 2)
    weighted, _ = started(embeddings, targets, 2, weights=np.array([1.0, 3.0]))
    assert special.softmax(even, axis=1)[:, 1].mean() == pytest.approx(0.25, abs=0.01)
    assert special.softmax(weighted, axis=1)[:, 1].mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_one_label_alone_becomes_likelier_with_its_rows(rows: int) -> None:
    logits, _ = started(normal(rows), np.full(rows, 1), 3)
    shares = special.softmax(logits, axis=1)
    np.testing.assert_allclose(shares[:, 1], (rows + 0.5) / (rows + 1.5), rtol=1e-5)


def test_labels_of_all_or_no_rows_get_a_constant_logit() -> None:
    source = np.random.default_rng(0)
    targets = np.stack([np.ones(20), np.zeros(20), source.integers(0, 2, 20)], axis=1).astype(np.float32)
    logits, _ = started(normal(20), targets, 3, "multi_label")
    np.testing.assert_allclose(logits[:, 0], np.log(20.5 / 0.5), rtol=1e-5)
    np.testing.assert_allclose(logits[:, 1], np.log(0.5 / 20.5), rtol=1e-5)
    assert logits[:, 2].std() > 0


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_equal_numbers_are_predicted_as_their_mean(rows: int) -> None:
    labels = LabelSpace(rows=rows, mean=4.0, std=1.0)
    logits, _ = started(normal(rows), np.full(rows, 4.0, np.float32), 1, "regression", labels=labels)
    np.testing.assert_allclose(logits, 0.0, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_embeddings_of_zeros_give_every_row_the_shares_of_the_labels(tiny: ModuleType, task: str) -> None:
    targets = tiny.rows(120, task=task).targets
    outputs = 1 if task == "regression" else 2
    labels = tiny.labels(tiny.rows(120, task=task), task)
    logits, rows = started(np.zeros((120, 4), np.float32), targets, outputs, task, labels=labels)
    assert rows == 120
    if task == "regression":
        np.testing.assert_allclose(logits, 0.0, atol=1e-4)
    else:
        shares = special.softmax(logits, axis=1)[:, 1:] if task == "single_label" else special.expit(logits)
        np.testing.assert_allclose(shares.mean(axis=0), targets.reshape(120, -1).mean(axis=0), atol=0.01)


@pytest.mark.parametrize("task", TASKS)
def test_embeddings_that_are_not_finite_do_not_count(tiny: ModuleType, task: str) -> None:
    rows = tiny.rows(60, task=task)
    outputs, labels, embeddings = (1 if task == "regression" else 2), tiny.labels(rows, task), normal(60)
    embeddings[7], embeddings[30, 2] = np.inf, np.nan
    kept = np.isfinite(embeddings).all(axis=1)
    logits, used = started(embeddings, rows.targets, outputs, task, labels=labels)
    assert used == 58
    expected, _ = started(embeddings[kept], rows.targets[kept], outputs, task, labels=labels)
    np.testing.assert_array_equal(logits[kept], expected)
    assert started(np.full_like(embeddings, np.nan), rows.targets, outputs, task, labels=labels)[1] == 0


def test_a_large_table_gives_some_of_its_rows(monkeypatch: pytest.MonkeyPatch, tiny: ModuleType) -> None:
    assert choose_rows(100, 2).tolist() == list(range(100))
    chosen = choose_rows(50_000, 2)
    assert len(set(chosen)) == 6000
    assert (np.diff(chosen) > 0).all()
    assert chosen[-1] > 49_000
    assert np.array_equal(chosen, choose_rows(50_000, 2))
    assert len(choose_rows(50_000, 500)) == 600
    assert len(choose_rows(50_000, 10**6)) == 1
    monkeypatch.setattr(head_start, "_MOST_ROWS", 50)
    assert tiny.fit(train_config=STILL, **PAIRS).report["head_start"]["rows"] == 50


@pytest.mark.slow_variants
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [1, 2])
def test_a_table_of_one_or_two_rows_trains(tiny: ModuleType, task: str, count: int) -> None:
    report = tiny.fit(task=task, count=count, labels_=tiny.labels(tiny.rows(40, task=task), task), **PAIRS).report
    assert report["head_start"]["rows"] == count
    assert np.isfinite(report["history"][-1]["loss"])


@pytest.mark.slow
def test_a_frozen_encoder_starts_with_the_head_that_fits_it(tiny: ModuleType) -> None:
    def frozen() -> keras.Model:
        model = tiny.model()
        for layer in model.layers[:-1]:
            layer.trainable = False
        return model

    history = tiny.fit(make_model=frozen, train_config=STILL, **PAIRS).report["history"]
    assert history[0]["train_loss"] < tiny.fit(make_model=frozen, train_config=STILL).report["history"][0]["train_loss"]


@pytest.mark.slow_variants
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_starts_too(tiny: ModuleType, starts: Starts, precision: str) -> None:
    trained, whole = tiny.fit(train_config={**STILL, "precision": precision}, **PAIRS), starts("single_label")[0]
    for ours, theirs in zip(trained.model.weights, whole.model.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["single_label", "regression"])
def test_a_training_interrupted_later_does_not_start_again(tiny: ModuleType, tmp_path: Path, task: str) -> None:
    def stop(progress: Progress) -> None:
        signal.raise_signal(signal.SIGTERM)

    shared = {**PAIRS, "task": task, "dropout": 0.1}
    with pytest.raises(Interrupted):
        tiny.fit(**shared, checkpoint_dir=tmp_path, on_progress=stop)
    notes: list[str] = []
    again = tiny.fit(**shared, checkpoint_dir=tmp_path, on_note=notes.append)
    whole = tiny.fit(**shared)
    assert again.report["resumed_at_step"] >= 1
    assert not any(note.startswith("the head starts") for note in notes)
    assert again.report["head_start"]["rows"] == whole.report["head_start"]["rows"] == 120
    for ours, theirs in zip(again.model.weights, whole.model.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_an_interruption_while_the_head_is_fitted_says_what_is_lost(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as caught:
        tiny.fit(
            **PAIRS,
            checkpoint_dir=tmp_path,
            on_note=lambda text: signal.raise_signal(signal.SIGTERM) if "head starts" in text else None,
        )
    assert caught.value.lost.startswith("the start of the head, ")
    assert caught.value.then == "training starts at step 1"


def test_a_position_of_an_earlier_version_still_loads() -> None:
    assert Position(epoch=1, history=[], contrastive=None).head_start is None


@pytest.mark.slow
def test_two_replicas_start_as_one(tiny: ModuleType, run_tiny: RunTiny, tmp_path: Path) -> None:
    config = {**STILL, "devices": 2}
    _, weights, report = run_tiny(tmp_path / "two.npz", train_config=config, **PAIRS)
    one = tiny.fit(train_config={**STILL, "strategy": "none"}, **PAIRS)
    assert report["replicas"] == 2
    assert report["head_start"]["rows"] == 120
    for variable, value in zip(one.model.weights, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-4)
