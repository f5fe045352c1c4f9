"""What the user is told at the end of a training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from models.training.progress import Position
from models.training.training_report import describe_end


@pytest.mark.parametrize(
    ("epoch", "why"),
    [
        (4, ", because the eval accuracy has not improved for 1 epoch;"),
        (5, ", because the eval accuracy has not improved for 2 epochs;"),
        (9, ";"),
    ],
)
def test_the_reason_for_an_early_end_is_said(epoch: int, why: str) -> None:
    history = [{"epoch": n, "accuracy": 0.5 if n == 3 else 0.4, "loss": 0.7} for n in range(1, epoch + 1)]
    position = Position(epoch=epoch, best_epoch=3, history=history)
    loop: Any = SimpleNamespace(position=position, metric="accuracy", epochs=9)
    assert describe_end(loop) == f"trained for {epoch} of 9 epochs{why} kept the weights of epoch 3 (accuracy 0.5000)"


def test_of_epochs_with_the_same_metric_the_choice_is_explained() -> None:
    losses = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6}
    history = [{"epoch": n, "accuracy": 0.5 if n > 1 else 0.4, "loss": loss} for n, loss in losses.items()]
    loop: Any = SimpleNamespace(position=Position(epoch=4, best_epoch=4, history=history), metric="accuracy", epochs=9)
    assert describe_end(loop) == (
        "trained for 4 of 9 epochs, because the eval accuracy has not improved for 2 epochs; kept the weights of "
        "epoch 4 (accuracy 0.5000), the one with the lowest loss of 3 with that accuracy"
    )


@pytest.mark.parametrize("value", [float("nan"), None])
def test_a_metric_that_cannot_be_computed_is_said_to_be_missing(value: float | None) -> None:
    position = Position(
        epoch=3, best_epoch=2, history=[{"epoch": n, "spearman": value, "loss": 0.7} for n in (1, 2, 3)]
    )
    loop: Any = SimpleNamespace(position=position, metric="spearman", epochs=3)
    assert describe_end(loop).startswith("trained for 3 of 3 epochs; kept the weights of epoch 2, with the lowest loss")
