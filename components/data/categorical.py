"""Which columns hold a few kinds of values. A module of its own: a change in a rule must not re-make the schema."""

from __future__ import annotations

# A column with more distinct values than this, or with values that hardly repeat, names rows rather than kinds.
_KINDS, _REPEATS = 100, 2


def is_categorical(distinct: int, rows: int) -> bool:
    """True where a column's values repeat so often that a new one says something."""
    return distinct <= _KINDS and distinct * _REPEATS <= rows
