"""One screen of figures, and what follows from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.training.inspection import operation_kinds, operation_times
from models.training.inspection.traced_steps import Profile
from pipeline.inspection import profile_screen
from pipeline.inspection.profile_screen import remarks, screen

MACHINE = {"cpu": "A Processor", "cores": 2}
PROFILE = Profile(
    framework="tensorflow 2.21.0",
    devices=["/device:CPU:0"],
    precision="float32",
    xla="parts",
    batch_size=32,
    accumulate=1,
    steps=20,
    seconds_per_step=0.2,
    waiting_per_step=0.001,
    tokens_per_second=1900.0,
    padded_tokens_per_second=2000.0,
    first_step_seconds=6.0,
    compiled_seconds=6.5,
    traced=10,
    traced_seconds_per_step=0.25,
    parts={"matrix products": 0.1, "elementwise": 0.1, "optimizer": 0.03, "between operations": 0.02},
    flops_per_step=2.5e10,
    peak_memory_mb=2500.0,
    peak_device_memory_mb={},
    training_steps=1000,
    training_seconds=206.5,
)


def test_the_names_are_those_of_the_training() -> None:
    """Which this module cannot import: it would load TensorFlow."""
    kinds, times = operation_kinds, operation_times
    assert (profile_screen.WAITING, profile_screen.BETWEEN) == (times.WAITING, times.BETWEEN)
    assert (profile_screen.PRODUCTS, profile_screen.DROPOUT) == (kinds.PRODUCTS, kinds.DROPOUT)
    assert profile_screen.OPTIMIZER == kinds.OPTIMIZER


def test_it_is_one_screen() -> None:
    lines = list(screen(PROFILE, MACHINE, remarks(PROFILE, 0.0)))
    assert len(lines) <= 24
    assert max(map(len, lines[:-1])) <= 80
    text = "\n".join(lines)
    assert "200 ms a step, 1 ms of it waiting for rows: the mean of 20 steps" in text
    assert "the mean of 10, 25% slower" in text
    assert "tensorflow 2.21.0, float32, XLA in parts" in text
    assert "  together " in text
    assert "100.0%  250 ms" in text
    assert "padding is 5%" in text
    assert "25 GFLOP a step, 125 GFLOP a second" in text
    assert "1,000 steps, about 3 min 26 s" in text


def test_a_device_of_its_own_memory() -> None:
    lines = screen(replace(PROFILE, peak_device_memory_mb={"GPU:0": 7300.0}, xla=True), MACHINE, [])
    text = "\n".join(lines)
    assert "2.5 GB, device 7.3 GB" in text
    assert "XLA on" in text


@pytest.mark.parametrize(
    ("changes", "busy", "expected"),
    [
        ({}, 0.0, "no part stands out: the largest is matrix products, with 40%"),
        ({}, 1.5, "other programs kept 1.5 cores busy"),
        ({"waiting_per_step": 0.074}, 0.0, "37% of the time waits for rows"),
        ({"parts": {"between operations": 0.2, "elementwise": 0.05}}, 0.0, "80% of the time is between operations"),
        ({"parts": {"optimizer": 0.1, "elementwise": 0.15}}, 0.0, "40% of the time updates the weights"),
        ({"parts": {"dropout": 0.1, "elementwise": 0.15}}, 0.0, "40% of the time is dropout's"),
        ({"padded_tokens_per_second": 3800.0}, 0.0, "50% of what is computed is padding"),
        ({"training_seconds": 10.0}, 0.0, "compilation is 65% of the training"),
        ({"parts": {"matrix products": 0.2, "elementwise": 0.05}}, 0.0, "80% of the time is matrix products"),
    ],
)
def test_what_follows(changes: dict[str, object], busy: float, expected: str) -> None:
    (found, *more) = remarks(replace(PROFILE, **changes), busy)  # type: ignore[arg-type]  # of a test's parameters
    assert found.startswith(expected)
    assert not more


def test_there_are_at_most_three_remarks_the_most_important_first() -> None:
    changes = replace(
        PROFILE,
        waiting_per_step=0.03,
        parts={"optimizer": 0.06, "between operations": 0.1, "elementwise": 0.09},
        padded_tokens_per_second=2500.0,
    )
    found = remarks(changes, 2.0)
    assert len(found) == 3
    assert found[0].startswith("other programs")
    assert found[1].startswith("40% of the time is between operations")
