"""What a cell holds: text, or something that only looks like text once it is written down. Imports no TensorFlow."""

from __future__ import annotations

import datetime
import decimal
import numbers
from typing import Any

from components.table import Twice

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((numbers.Number, decimal.Decimal), "a number"),
    ((list, tuple, set), "a list"),
    (dict, "an object"),
    ((datetime.date, datetime.time, datetime.timedelta), "a date or a time"),
    (Twice, "two values"),
)


def what_is_not_text(value: Any) -> str:
    """What a cell holds that is not text: "a list", "an object", "a number"; empty for text and for a missing value.

    The source of such a value is nothing that anybody would send to a model: `["so", "good"]` with its brackets.
    """
    if value is None or isinstance(value, str | bytes) or value != value:  # NaN is a missing value
        return ""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")


def readable(text: str) -> str:
    """The text with half surrogate pairs, which UTF-8 cannot hold, written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
