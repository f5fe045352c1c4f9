"""Whether a cell holds text or another value, and the text of such a value. Imports no TensorFlow."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import numbers
from typing import Any

from components.data.formats.table import DuplicateKey

_TYPE_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((numbers.Number, decimal.Decimal), "a number"),
    ((list, tuple, set), "a list"),
    (dict, "an object"),
    ((datetime.date, datetime.time, datetime.timedelta), "a date or a time"),
    (DuplicateKey, "two values"),
)


class BadValueError(ValueError):
    """A value that a row must not have; the message names the mistake."""


def describe_non_text(value: Any) -> str:
    """The kind of a value that is not text: "a list", "an object", "a number"; empty for text and a missing value.

    Nobody would send the source code of such a value, `["so", "good"]` with its brackets, to a model.
    """
    if value is None or isinstance(value, str | bytes) or value != value:  # NaN is a missing value
        return ""
    return next((name for types, name in _TYPE_NAMES if isinstance(value, types)), f"a {type(value).__name__}")


def readable(text: str) -> str:
    """The text with half surrogate pairs, which UTF-8 cannot hold, escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_text(value: Any) -> str | None:
    """A value as text, None if it is missing.

    Numbers as they are written, but whole numbers without a fraction, because files differ in their types (pandas turns
    a column of 1 and missing values into 1.0); booleans as `true` and `false`, lists and objects as JSON, dates in ISO
    8601.
    """
    if isinstance(value, str):
        try:
            if not value.isascii():
                value.encode()
        except UnicodeEncodeError:
            raise BadValueError("half of a surrogate pair (not Unicode text)") from None
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
    """The same for a column that the task does not read, where no value is an error."""
    try:
        return as_text(value)
    except BadValueError:
        return readable(value if isinstance(value, str) else as_json(value))


def as_json(value: Any) -> str:
    """A list or an object as JSON; values that JSON cannot represent (a date, bytes) as text."""
    return json.dumps(value, ensure_ascii=False, default=str)
