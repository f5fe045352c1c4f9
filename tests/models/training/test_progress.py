"""Positions in a training."""

from __future__ import annotations

import math
from typing import Any

import pytest

from models.training.progress import Position


@pytest.mark.parametrize(
    ("values", "best", "without"),
    [
        ([0.5, 0.75, 0.7], 2, 1),
        ([0.5, 0.75, 0.75, 0.75], 4, 2),  # the loss made the last one the best
        ([math.nan, None, math.nan], 2, 1),
        ([math.nan, 0.1], 2, 0),
        ([0.9], 1, 0),
    ],
)
def test_a_lower_loss_at_the_same_value_is_no_gain(values: list[Any], best: int, without: int) -> None:
    history = [{"epoch": number, "accuracy": value} for number, value in enumerate(values, start=1)]
    position = Position(epoch=len(values), best_epoch=best, history=history)
    assert position.epochs_without_gain("accuracy") == without


def test_before_the_first_epoch_nothing_has_stalled() -> None:
    assert Position().epochs_without_gain("accuracy") == 0
