from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.errors import TrainingError
from models.training.progress import Progress
from models.training.token_rows import TokenRows
from models.training_config import Xla
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]


@pytest.fixture(scope="module")
def learned(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Progress], Path]:
    """A training of 1,500 rows, enough to make several lengths worth their compilation."""
    updates: list[Progress] = []
    folder = tmp_path_factory.mktemp("logs")
    config = {"epochs": 4, "batch_size": 32, "xla": True}
    trained = tiny.fit(count=1500, train_config=config, log_dir=folder, on_progress=updates.append)
    return trained, updates, folder


def test_it_learns_and_reports(learned: tuple[Any, list[Progress], Path], tiny: ModuleType) -> None:
    trained, updates, _ = learned
    report = trained.report
    assert json.loads(json.dumps(report)) == report
    assert report["best_value"] >= 0.95
    assert report["best_value"] == max(epoch["accuracy"] for epoch in report["history"])
    assert report["epochs"] == 4
    assert report["steps"] == report["steps_planned"] == 4 * math.ceil(1500 / 32)
    assert (report["strategy"], report["replicas"], report["xla"]) == ("none", 1, True)
    assert report["precision"] == "float32"
    assert report["parameters"]["total"] == report["parameters"]["trainable"] == tiny.model().count_params()
    assert report["tokens_per_second"] > 0
    assert report["padded_tokens_per_second"] >= report["tokens_per_second"]
    assert report["config"]["epochs"] == 4
    assert report["peak_memory_mb"] > 100
    assert [p.epoch for p in updates if p.evaluation] == [1, 2, 3, 4]
    assert updates[-1].step == updates[-1].steps == report["steps"]


def test_nothing_is_compiled_after_the_first_epoch(learned: tuple[Any, list[Progress], Path]) -> None:
    report = learned[0].report
    assert report["traces"] == {"train": 1, "eval": 1}
    assert [epoch["traces"] for epoch in report["history"][1:]] == [0, 0, 0]


def test_tensorboard_shows_the_curves(learned: tuple[Any, list[Progress], Path]) -> None:
    from tensorflow.python.summary.summary_iterator import summary_iterator

    tags: dict[str, set[str]] = {}
    for split in ("train", "eval"):
        (file,) = (learned[2] / split).glob("events.*")
        tags[split] = {value.tag for event in summary_iterator(str(file)) for value in event.summary.value}
    assert tags["train"] >= {"loss", "learning_rate", "gradient_norm", "tokens_per_second"}
    assert tags["eval"] >= {"loss", "accuracy", "macro_f1"}


@pytest.mark.parametrize(("task", "metric"), [("multi_label", "micro_f1"), ("regression", "spearman")])
def test_other_tasks_learn(tiny: ModuleType, task: str, metric: str) -> None:
    trained = tiny.fit(task=task, count=400, train_config={"epochs": 4})
    assert trained.report["metric"] == metric
    assert trained.report["best_value"] > 0.8
    if task == "regression":
        last = trained.report["history"][-1]
        assert last["mse"] == pytest.approx(
            last["loss"] * float(tiny.rows(400, task=task).targets.std()) ** 2, rel=1e-4
        )


def test_the_best_epochs_weights_are_kept_and_training_stops(tiny: ModuleType) -> None:
    # A rate so high that later epochs are worse than the first good one.
    trained = tiny.fit(count=200, train_config={"epochs": 30, "early_stopping": 2, "learning_rate": 0.05})
    report = trained.report
    assert report["stopped_early"]
    accuracies = [epoch["accuracy"] for epoch in report["history"]]
    assert report["epochs"] == accuracies.index(report["best_value"]) + 1 + 2
    rows = tiny.rows(40, 1)
    batch = _whole(tiny, rows)
    accuracy = (np.asarray(trained.model(batch.features)).argmax(axis=1) == rows.targets).mean()
    assert accuracy == pytest.approx(report["best_value"])


def test_the_moving_average_is_what_is_measured_and_kept(tiny: ModuleType) -> None:
    fits = [tiny.fit(train_config={"ema_momentum": momentum, "epochs": 2}) for momentum in (0.0, 0.95)]
    plain, averaged = (trained.report["history"] for trained in fits)
    # The training itself is the same; the measurements after each epoch are not.
    assert [e["train_loss"] for e in plain] == [e["train_loss"] for e in averaged]
    assert all(a["loss"] != b["loss"] for a, b in zip(plain, averaged, strict=True))
    rows = tiny.rows(40, 1)
    logits = np.asarray(fits[1].model(_whole(tiny, rows).features))
    accuracy = (logits.argmax(axis=1) == rows.targets).mean()
    assert accuracy == pytest.approx(fits[1].report["best_value"])


def _whole(tiny: ModuleType, rows: TokenRows) -> Any:
    from models.training.batches import Batches

    return Batches(rows, (20,), len(rows), pad_id=0).make_batch(np.arange(len(rows)))


@pytest.mark.slow
def test_a_seed_decides_everything(tiny: ModuleType) -> None:
    weights = []
    for seed in (5, 5, 6):
        trained = tiny.fit(dropout=0.2, train_config={"seed": seed, "epochs": 1})
        weights.append(np.concatenate([v.numpy().ravel() for v in trained.model.weights]))
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_without_xla_the_losses_are_the_same(tiny: ModuleType) -> None:
    losses = [[e["train_loss"] for e in tiny.fit(train_config={"xla": xla}).report["history"]] for xla in (True, False)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow_variants
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_gives_a_float32_model(tiny: ModuleType, precision: str) -> None:
    trained = tiny.fit(count=400, train_config={"precision": precision, "epochs": 3})
    assert trained.report["precision"] == precision
    assert trained.report["best_value"] > 0.8
    assert {layer.dtype_policy.name for layer in trained.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_grappler_is_off_only_while_a_model_trains(tiny: ModuleType) -> None:
    def is_off() -> bool:
        return bool(tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"])

    def note(_: Progress) -> None:
        seen.append(is_off())

    def end(_: Progress) -> None:
        raise KeyboardInterrupt

    seen: list[bool] = []
    tiny.fit(on_progress=note)
    assert seen
    assert all(seen)
    assert not is_off()
    with pytest.raises(KeyboardInterrupt):
        tiny.fit(on_progress=end)
    assert not is_off()


@pytest.mark.slow
@pytest.mark.parametrize(("xla", "remat"), [(True, False), (True, True), ("parts", False)])
def test_two_replicas_have_the_losses_of_one(
    tiny: ModuleType, run_tiny: RunTiny, tmp_path: Path, xla: Xla, remat: bool
) -> None:
    config = {"batch_size": 15, "accumulate": 2, "class_weights": "balanced", "label_smoothing": 0.1}
    config |= {"xla": xla, "remat": remat}
    _, weights, report = run_tiny(tmp_path / "two.npz", train_config={**config, "devices": 2})
    assert (report["strategy"], report["replicas"], report["xla"]) == ("mirrored", 2, xla)
    one = tiny.fit(train_config={**config, "strategy": "none"})
    for ours, theirs in zip(one.report["history"], report["history"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-5)
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    for variable, value in zip(one.model.weights, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-4)


def test_progress_tells_the_time_that_is_left(learned: tuple[Any, list[Progress], Path]) -> None:
    updates = [progress for progress in learned[1] if progress.seconds_left is not None]
    assert updates[0].seconds_left > updates[-1].seconds_left == 0.0
    assert learned[1][0].step == 1


def test_a_loss_that_is_not_finite_names_step_and_rate(tiny: ModuleType) -> None:
    rows = tiny.rows(60, task="regression")
    rows.targets[17] = np.inf
    with pytest.raises(TrainingError, match=r"step \d+ of 8") as caught:
        tiny.fit(task="regression", rows_=rows, labels_=LabelSpace(mean=0.0, std=1.0))
    assert "learning rate" in caught.value.got
    assert "train.learning_rate" in caught.value.fix


def test_an_eval_loss_that_is_not_finite_is_an_error(tiny: ModuleType) -> None:
    evaluation = tiny.rows(40, 1, task="regression")
    evaluation.targets[3] = np.inf
    with pytest.raises(TrainingError, match="on the eval rows is not finite after epoch 1"):
        tiny.fit(task="regression", evaluation=evaluation)


def test_a_metric_that_no_epoch_defines_is_null_in_the_report(tiny: ModuleType) -> None:
    evaluation = tiny.rows(40, 1, task="regression")
    evaluation.targets[:] = 12.0  # no correlation with a constant
    report = tiny.fit(task="regression", evaluation=evaluation, train_config={"epochs": 1}).report
    assert np.isnan(report["best_value"])
    stored = json.loads(to_json(report), parse_constant=pytest.fail)
    assert stored["best_value"] is stored["history"][0]["spearman"] is None
    assert stored["best_epoch"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TokenRows.from_lists([], np.zeros(0, np.int32)), "no rows"),
        (TokenRows.from_lists([[1] * 21], np.zeros(1, np.int32)), "longer than"),
        (TokenRows.from_lists([[1, 2]], np.array([2], np.int32)), "beyond the labels"),
    ],
)
def test_rows_that_cannot_be_trained_on(tiny: ModuleType, rows: TokenRows, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        tiny.fit(evaluation=rows)
