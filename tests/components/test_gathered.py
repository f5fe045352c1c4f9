"""Results come in the order of the items, and errors as they were raised."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest

from components.gathered import gather
from models.errors import DataError


def square(number: int) -> int:
    if number < 0:
        raise DataError("a negative number", got=str(number), expected="0 or more", fix="count again")
    return number * number


def test_results_in_the_order_of_the_items(tmp_path: Path) -> None:
    numbers = [3, 1, 2, *range(20)]
    assert list(gather(beam.Pipeline, numbers, square, str(tmp_path))) == [number * number for number in numbers]
    assert list(gather(beam.Pipeline, [], square, str(tmp_path))) == []


def test_an_error_passes_with_its_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(gather(beam.Pipeline, [1, -2], square, str(tmp_path)))
    assert (caught.value.got, caught.value.fix) == ("-2", "count again")
