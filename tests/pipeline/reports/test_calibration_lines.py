from __future__ import annotations

from typing import Any

import pytest

from pipeline.reports.calibration_lines import calibration_lines

METRICS = {
    "log_loss": 0.55,
    "calibration_error": 0.03,
    "uncalibrated_log_loss": 0.87,
    "uncalibrated_calibration_error": 0.21,
}
FITTED = {"temperatures": [2.4], "threshold": 0.5, "tuned": False, "rows": 1872, "notes": []}


def test_the_change_is_one_line() -> None:
    assert list(calibration_lines(FITTED, METRICS)) == [
        "calibration: error 0.210 -> 0.030, log loss 0.870 -> 0.550 (temperature 2.40, fitted on 1,872 eval rows)"
    ]


@pytest.mark.parametrize(("rows", "said"), [(199.0, True), (200.0, False)])
def test_an_error_on_few_rows_is_said_to_be_chance(rows: float, said: bool) -> None:
    (line,) = calibration_lines(FITTED, {**METRICS, "example_count": rows})
    assert line.endswith("; on 199 rows much of the error is chance") == said


def test_several_labels_have_a_range_and_a_threshold() -> None:
    fitted = {**FITTED, "temperatures": [0.5, 2.0, 1.0], "tuned": True, "threshold": 0.3125}
    change, threshold = calibration_lines(fitted, METRICS)
    assert "(temperatures 0.50 to 2.00, " in change
    assert threshold == "task.threshold: 0.3125, chosen on 1,872 eval rows"


@pytest.mark.parametrize(
    ("fitted", "metrics"),
    [
        ({}, METRICS),  # a model of an earlier version
        ({**FITTED, "temperatures": []}, METRICS),
        (FITTED, {"log_loss": None, "uncalibrated_log_loss": None, "uncalibrated_calibration_error": None}),
        (FITTED, {}),
    ],
)
def test_without_temperatures_or_metrics_there_is_no_line(fitted: dict[str, Any], metrics: dict[str, Any]) -> None:
    assert not list(calibration_lines(fitted, metrics))
