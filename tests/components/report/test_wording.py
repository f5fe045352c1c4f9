"""Numbers as a reader wants them."""

from __future__ import annotations

import math

import pytest

from components.report.wording import interval, number, percent, seconds, signed, signed_interval


@pytest.mark.parametrize(
    ("value", "shown"), [(0.25, "+0.2500"), (-0.25, "-0.2500"), (0.0, "+0.0000"), (-0.0, "+0.0000"), (-1e-9, "+0.0000")]
)
def test_zero_has_one_sign(value: float, shown: str) -> None:
    assert signed(value) == shown
    assert signed_interval([value, value]) == f"{shown} to {shown}"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_absent(value: float | None) -> None:
    assert {number(value), signed(value), percent(value)} == {"–"}
    assert interval(None) == signed_interval(None) == "–"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.84, "0.8 s"), (59.4, "59.4 s"), (192, "3 min 12 s"), (7500, "2 h 05 min")]
)
def test_times_are_read_at_a_glance(value: float, shown: str) -> None:
    assert seconds(value) == shown
