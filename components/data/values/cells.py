"""What a cell holds: text, or something that only looks like text once it is written down. Imports no TensorFlow."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import numbers
from typing import Any

from components.data.formats.table import Twice

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((numbers.Number, decimal.Decimal), "a number"),
    ((list, tuple, set), "a list"),
    (dict, "an object"),
    ((datetime.date, datetime.time, datetime.timedelta), "a date or a time"),
    (Twice, "two values"),
)


class BadValueError(ValueError):
    """A value that a row may not have; the message is the kind of the mistake."""


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


def as_text(value: Any) -> str | None:
    """A value as the text that stands for it, None for a missing one.

    Numbers as they are written, but whole ones without a fraction, for files type them as they like (a column of 1 and
    nothing is one of 1.0 for pandas); booleans as `true` and `false`, lists and objects as JSON, dates in ISO 8601.
    """
    if isinstance(value, str):
        if not value.isascii():
            _check_unicode(value)
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list | dict):
        return as_text(as_json(value))
    if isinstance(value, float | decimal.Decimal):
        return _number_text(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _number_text(value: float | decimal.Decimal) -> str | None:
    if isinstance(value, decimal.Decimal):
        if value.is_nan():
            return None
        if not value.is_finite():
            return str(value)
        # Not `normalize`, which rounds to 28 digits: Parquet's decimals have up to 76.
        text = f"{value:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else str(value)


def nearest_text(value: Any) -> str | None:
    """The same for a column that the task does not read: nothing in it stops anybody."""
    try:
        return as_text(value)
    except BadValueError:
        return readable(value if isinstance(value, str) else as_json(value))


def _check_unicode(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadValueError("half of a surrogate pair (no Unicode text)") from None


def as_json(value: Any) -> str:
    """A list or an object as JSON; what JSON has no form for (a date, bytes) as its text."""
    return json.dumps(value, ensure_ascii=False, default=str)
