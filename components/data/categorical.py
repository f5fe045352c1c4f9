"""Which columns are categorical. A separate module, so that a changed rule does not cause a new schema."""

from __future__ import annotations

# A column with more distinct values, or with values that hardly repeat, identifies rows rather than categories.
_MOST_VALUES, _LEAST_REPEATS = 100, 2


def is_categorical(distinct: int, rows: int) -> bool:
    """True if a column's values repeat so often that a new value is remarkable."""
    return distinct <= _MOST_VALUES and distinct * _LEAST_REPEATS <= rows
