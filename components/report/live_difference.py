"""Whether a model is worse than the one that was live, by more than chance: people should know, even if it passes."""

from __future__ import annotations

from components.evaluation.thresholds import direction
from components.report.page_facts import Json
from components.report.wording import listed, number, signed_interval
from tflite.host.prediction import TaskType


def worse_than_live(evaluation: Json, rows: Json) -> str:
    """A sentence that says by which metrics; "" if by none, or if there is nothing to compare.

    Args:
        evaluation: `summary.json` of the Evaluator.
        rows: its `rows.json`.
    """
    metrics = rows.get("against", {}).get("live", {}).get("metrics", {})
    worse = [
        f"{name.replace('_', ' ')} {number(one['model'])} against {number(one['other'])} "
        f"(95% interval of the difference: {signed_interval(one['difference'])})"
        for name, one in metrics.items()
        if one["difference"] and _is_worse(evaluation["task"], name, one["difference"])
    ]
    if not worse:
        return ""
    keep = "evaluation.thresholds with max_loss_to_live keeps such a model back"
    return f"worse than the live model, by more than chance: {listed(worse)}; {keep}"


def _is_worse(task: TaskType, metric: str, difference: tuple[float, float]) -> bool:
    low, high = difference
    return high < 0 if direction(task, metric) == "higher" else low > 0
