"""What the user is told at the end of a training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from models.training.training_report import describe_end


@pytest.mark.parametrize(
    ("epoch", "why"),
    [
        (4, ", because the eval accuracy has not become better for 1 epoch;"),
        (5, ", because the eval accuracy has not become better for 2 epochs;"),
        (9, ";"),
    ],
)
def test_the_reason_for_an_early_end_is_said(epoch: int, why: str) -> None:
    position = SimpleNamespace(epoch=epoch, best_epoch=3, best_value=0.5)
    loop: Any = SimpleNamespace(position=position, metric="accuracy", epochs=9)
    assert describe_end(loop) == f"trained for {epoch} of 9 epochs{why} kept the weights of epoch 3 (accuracy 0.5000)"
