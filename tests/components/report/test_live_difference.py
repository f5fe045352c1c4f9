"""A model that is worse than the live one by more than chance is said to be, whatever way a metric counts."""

from __future__ import annotations

from typing import Any

import pytest

from components.report.live_difference import worse_than_live


def rows(metric: str, model: float, other: float, difference: Any) -> dict[str, Any]:
    return {"against": {"live": {"metrics": {metric: {"model": model, "other": other, "difference": difference}}}}}


@pytest.mark.parametrize(
    ("metric", "difference", "worse"),
    [
        ("accuracy", [-0.07, -0.01], True),
        ("accuracy", [-0.07, 0.01], False),
        ("accuracy", [0.01, 0.07], False),
        ("accuracy", None, False),
        ("log_loss", [0.01, 0.07], True),
        ("log_loss", [-0.07, -0.01], False),
    ],
)
def test_only_what_is_worse_for_certain_is_worse(metric: str, difference: Any, worse: bool) -> None:
    found = worse_than_live({"task": "single_label"}, rows(metric, 0.81, 0.85, difference))
    assert bool(found) == worse
    if worse:
        assert f"{metric.replace('_', ' ')} 0.8100 against 0.8500" in found
        assert "max_loss_to_live" in found


def test_without_a_live_model_nothing_is_said() -> None:
    assert worse_than_live({"task": "regression"}, {}) == ""
