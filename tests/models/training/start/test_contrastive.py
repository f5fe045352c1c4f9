from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import special

from models.config import TaskConfig
from models.errors import Interrupted, TrainingError
from models.training.progress import Progress
from models.training.start import contrastive
from models.training.start.contrastive import ContrastivePlan, draw_batch, pair_loss, plan_tuning
from models.training.start.head_start import split
from models.training.token_rows import TokenRows
from models.training_config import TrainConfig

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]
# 20 rows per label: few enough.
FEW = {"count": 40, "preset": True}


def _plan(tiny: ModuleType, rows: TokenRows, mode: str = "auto", *, preset: bool = True, **task: Any) -> Any:
    config = TrainConfig(contrastive=mode, batch_size=16)
    return plan_tuning(rows, tiny.model(), task=TaskConfig(**task), config=config, preset=preset)


def _rows(*targets: int) -> TokenRows:
    return TokenRows.from_lists([[1, 2, 3]] * len(targets), np.array(targets, np.int32))


def test_few_rows_per_label_are_tuned_on_and_many_are_not(tiny: ModuleType) -> None:
    few, many = _rows(*[0, 1, 2] * 8), _rows(*[0, 1, 2] * 200)
    assert _plan(tiny, few) == ContrastivePlan(8.0, labels=3, rows=5, steps=50)
    assert _plan(tiny, many) is None
    assert _plan(tiny, many, "on").rows_per_label == 200.0
    assert _plan(tiny, few, "off") is None


def test_models_and_tasks_without_pairs_of_rows_are_left_alone(tiny: ModuleType) -> None:
    rows = _rows(*[0, 1] * 8)
    assert _plan(tiny, rows, preset=False) is None
    assert _plan(tiny, rows, text_pair="second") is None
    for task in ("multi_label", "regression"):
        assert _plan(tiny, tiny.rows(16, task=task), type=task) is None
        with pytest.raises(TrainingError, match=r"train\.contrastive is on"):
            _plan(tiny, tiny.rows(16, task=task), "on", type=task)
    frozen = tiny.model()
    for layer in frozen.layers[:-1]:
        layer.trainable = False
    assert plan_tuning(rows, frozen, task=TaskConfig(), config=TrainConfig(), preset=True) is None


@pytest.mark.parametrize("targets", [(0, 1), (0, 1, 2, 3), (1, 1, 1)])
def test_rows_that_make_no_pairs(tiny: ModuleType, targets: tuple[int, ...]) -> None:
    assert _plan(tiny, _rows(*targets)) is None
    with pytest.raises(TrainingError, match="make no pairs") as caught:
        _plan(tiny, _rows(*targets), "on")
    assert caught.value.got == f"{len(targets)} rows of {len(set(targets))} labels"


def test_the_loss_is_that_of_its_definition() -> None:
    source = np.random.default_rng(0)
    embeddings, targets = source.normal(size=(6, 4)).astype(np.float32), np.array([0, 0, 1, 1, 1, 2])
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = (unit @ unit.T).astype(np.float64) / contrastive._TEMPERATURE
    expected = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        shares = dict(zip(others, special.log_softmax(scores[i, others]), strict=True))
        expected.append(np.mean([-shares[j] for j in others if targets[j] == targets[i]] or [0.0]))
    np.testing.assert_allclose(pair_loss(targets, embeddings), expected, rtol=1e-4)


def test_a_batch_holds_pairs_of_each_of_its_labels() -> None:
    targets = np.repeat([0, 1, 2, 5], [9, 1, 4, 2])
    plan = ContrastivePlan(4.0, labels=3, rows=4, steps=50)
    batches = [draw_batch(targets, plan, seed=3, step=step) for step in range(40)]
    for batch in batches:
        labels, counts = np.unique(targets[batch], return_counts=True)
        assert (len(labels), set(counts)) == (3, {4})
    assert set(np.concatenate(batches)) == set(range(16))
    assert all(np.array_equal(b, draw_batch(targets, plan, 3, step)) for step, b in enumerate(batches))
    assert not np.array_equal(batches[0], draw_batch(targets, plan, 4, 0))


@pytest.mark.slow
def test_tuning_separates_the_labels_and_sets_the_head(tiny: ModuleType) -> None:
    config = {"epochs": 1, "learning_rate": 0.02, "weight_decay": 0.0}
    notes: list[str] = []
    updates: list[Progress] = []
    trained = tiny.fit(**FEW, train_config=config, on_note=notes.append, on_progress=updates.append)
    report = trained.report["contrastive"]
    assert json.loads(json.dumps(report)) == report
    assert (report["rows_per_label"], report["labels"], report["rows"], report["steps"]) == (20.0, 2, 8, 50)
    assert report["last_loss"] < report["first_loss"]
    assert notes[1].startswith("20 rows per label: the encoder is first tuned on pairs of rows for 50 steps")
    assert [(p.step, p.steps) for p in updates if p.epoch == 0][-1] == (50, 50)
    plain = tiny.fit(**FEW, train_config={**config, "contrastive": "off"}).report
    assert plain["contrastive"] is None
    losses = [report["history"][0]["train_loss"] for report in (trained.report, plain)]
    assert losses[0] < losses[1] - 0.05, "the first epoch starts with a head that knows the labels"
    assert plain["history"][0]["train_loss"] > 0.6


@pytest.mark.parametrize("targets", [(0, 1, 0, 1, 0, 1), (0, 1, 2, 0, 1, 2)])
def test_the_head_fits_the_embeddings_and_avoids_labels_without_rows(
    tiny: ModuleType, targets: tuple[int, ...]
) -> None:
    from models.training.batches import Batches

    # Each label has its own token; there is one more label, without rows.
    rows = TokenRows.from_lists([[1 + target] * 4 for target in targets], np.array(targets, np.int32))
    model, batches = tiny.model(outputs=4), Batches(rows, (8,), 3, pad_id=0)
    contrastive._set_head(model, batches)
    whole = Batches(rows, (8,), len(rows), pad_id=0).make_batch(np.arange(len(rows)))
    logits = np.asarray(model(whole.features))
    assert logits.argmax(axis=1).tolist() == list(targets)
    assert (logits[:, max(targets) + 1 :] <= logits.min() + 0.01).all()
    assert split(model)[0](whole.features).shape == (len(rows), tiny.WIDTH)


def test_a_label_with_many_rows_does_not_make_the_head_slow() -> None:
    targets = np.repeat([0, 1, 4], [500, 3, 64])
    chosen = contrastive._choose_head_rows(targets)
    assert np.unique(targets[chosen], return_counts=True)[1].tolist() == [64, 3, 64]
    assert len(set(chosen)) == len(chosen)
    assert chosen[0] < 250 < chosen[63] < 500  # from all of its rows, not only the first


@pytest.mark.slow_variants
@pytest.mark.parametrize("targets", [(0, 0, 1), (0, 1, 0, 1, 1, 1, 1)])
def test_a_batch_may_have_more_rows_than_the_table(tiny: ModuleType, targets: tuple[int, ...]) -> None:
    report = tiny.fit(rows_=_rows(*targets), preset=True, train_config={"epochs": 1}).report["contrastive"]
    assert report["labels"] * report["rows"] > len(targets)
    assert np.isfinite(report["last_loss"])


@pytest.mark.slow  # three processes
def test_a_training_killed_while_it_tunes_ends_with_the_same_weights(run_tiny: RunTiny, tmp_path: Path) -> None:
    shared = {**FEW, "dropout": 0.1, "train_config": {"epochs": 2, "checkpoint_steps": 2}}
    folder = str(tmp_path / "checkpoints")
    # Progress is told after the slow first step of the tuning and after its last one.
    assert run_tiny(tmp_path / "a.npz", kill_at=1, checkpoint_dir=folder, **shared)[0] == -signal.SIGKILL
    _, repeated, report = run_tiny(tmp_path / "b.npz", checkpoint_dir=folder, **shared)
    _, whole, expected = run_tiny(tmp_path / "c.npz", **shared)
    assert report["resumed_at_step"] is None
    assert report["contrastive"]["last_loss"] == expected["contrastive"]["last_loss"]
    assert all(np.array_equal(a, b) for a, b in zip(repeated, whole, strict=True))


@pytest.mark.slow
def test_a_training_interrupted_later_does_not_tune_again(tiny: ModuleType, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        tiny.fit(**FEW, dropout=0.1, checkpoint_dir=tmp_path, on_progress=stop)
    updates: list[Progress] = []
    again = tiny.fit(**FEW, dropout=0.1, checkpoint_dir=tmp_path, on_progress=updates.append)
    whole = tiny.fit(**FEW, dropout=0.1)
    assert all(progress.epoch for progress in updates)
    assert again.report["contrastive"]["last_loss"] == whole.report["contrastive"]["last_loss"]
    for ours, theirs in zip(again.model.weights, whole.model.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_an_interruption_while_it_tunes_says_what_is_lost(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as caught:
        tiny.fit(
            **FEW,
            train_config={"contrastive": "on"},
            checkpoint_dir=tmp_path,
            on_note=lambda text: signal.raise_signal(signal.SIGTERM) if "pairs of rows" in text else None,
        )
    assert caught.value.lost.startswith("the tuning on pairs of rows, ")
    assert caught.value.then == "training starts at step 1"


@pytest.mark.slow
def test_two_replicas_tune_as_one(tiny: ModuleType, run_tiny: RunTiny, tmp_path: Path) -> None:
    config = {"epochs": 1}
    _, weights, report = run_tiny(tmp_path / "two.npz", train_config={**config, "devices": 2}, **FEW)
    one = tiny.fit(train_config={**config, "strategy": "none"}, **FEW)
    assert report["replicas"] == 2
    assert report["contrastive"]["last_loss"] == pytest.approx(one.report["contrastive"]["last_loss"], abs=1e-4)
    for variable, value in zip(one.model.weights, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=2e-3)


@pytest.mark.slow_variants
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_tunes(tiny: ModuleType, precision: str) -> None:
    report = tiny.fit(**FEW, train_config={"precision": precision, "epochs": 1}).report
    assert report["contrastive"]["last_loss"] < report["contrastive"]["first_loss"]
