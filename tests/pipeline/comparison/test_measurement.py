from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.comparison.measurement import Measurement, advice, doubts, table

TENSORFLOW = Measurement(
    framework="tensorflow",
    version="2.21.0",
    tokens_per_second=1234.5,
    start_seconds=8.0,
    first_step_seconds=75.0,
    peak_memory_mb=1449.0,
    eval_loss=0.69,
    steps=30,
    devices=["cpu:0"],
    precision="float32",
    xla=True,
    whole_seconds=1000.0,
)


def faster(share: float) -> list[Measurement]:
    """TensorFlow, and JAX that takes this share of its time."""
    return [TENSORFLOW, replace(TENSORFLOW, framework="jax", whole_seconds=1000.0 * share)]


def test_a_line_for_each_framework() -> None:
    on_gpu = replace(
        TENSORFLOW, framework="jax", eval_loss=None, whole_seconds=None, peak_device_memory_mb={"gpu:0": 2000}
    )
    titles, first, second = table([TENSORFLOW, on_gpu])
    assert titles.split("  ")[0] == "framework"
    assert first.split() == [
        "tensorflow",
        "2.21.0",
        "1,230",
        "8",
        "s",
        "1",
        "min",
        "15",
        "s",
        "1.4",
        "GB",
        "float32",
        "0.690",
        "about",
        "16",
        "min",
        "cpu:0",
    ]
    assert "  1.4 GB + 2.0 GB  float32    -          -  " in second


def test_figures_have_no_more_digits_than_another_measurement_would_repeat() -> None:
    one = replace(TENSORFLOW, tokens_per_second=12_345.6, whole_seconds=47.4)
    assert "12,300" in list(table([one]))[1]
    assert "about 47 s" in list(table([one]))[1]
    assert "about 2 min 10 s" in list(table([replace(one, whole_seconds=129.7)]))[1]
    assert "about 2 h 08 min" in list(table([replace(one, whole_seconds=7_654.0)]))[1]


def test_a_busy_machine_and_different_precisions_are_told() -> None:
    measured = faster(0.5)
    assert list(doubts(measured, 0.1)) == []
    (busy,) = doubts(measured, 1.26)
    assert busy.startswith("warning: other programs kept 1.3 cores busy")
    (mixed,) = doubts([replace(TENSORFLOW, precision="mixed_bfloat16"), measured[1]], 0.0)
    assert "(tensorflow in mixed_bfloat16, jax in float32); with train.precision: float32" in mixed


@pytest.mark.parametrize(
    ("measured", "configured", "expected"),
    [
        (faster(0.5), "tensorflow", "set train.backend: jax: your training takes about 8 min 20 s instead of 16 min"),
        (faster(0.95), "tensorflow", "keep train.backend: tensorflow: jax would save only 5% of the time"),
        (faster(1.25), "tensorflow", "keep train.backend: tensorflow: the next takes 1.25 times as long"),
        (faster(1.25), "jax", "set train.backend: tensorflow: your training takes about 16 min instead of 20 min"),
        (faster(0.5), "torch", "set train.backend: jax: torch was not measured here"),
        ([TENSORFLOW], "tensorflow", "keep train.backend: tensorflow: no other was measured here"),
        ([replace(TENSORFLOW, whole_seconds=None)], "tensorflow", "no framework was timed: give more --steps"),
    ],
)
def test_the_advice_follows_from_the_whole_time(measured: list[Measurement], configured: str, expected: str) -> None:
    assert advice(measured, configured) == expected
