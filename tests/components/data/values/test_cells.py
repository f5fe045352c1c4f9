"""Cells as text."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from components.data.values.cells import as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (False, "false"),
        (3.0, "3"),
        (3.5, "3.5"),
        (-0.0, "0"),
        (1e300, "1e+300"),
        (Decimal("3.00"), "3"),
        (Decimal("1E+2"), "100"),
        (Decimal("3.50"), "3.5"),
        (Decimal("-0.00"), "0"),
        (Decimal("1234567890.1234567890123456789012345670"), "1234567890.123456789012345678901234567"),
        (Decimal("NaN"), None),
        (b"\xff", "\\xff"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        ({"a": datetime.date(2020, 1, 2)}, '{"a": "2020-01-02"}'),
    ],
)
def test_values_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text
