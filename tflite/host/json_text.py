"""JSON that every reader accepts. JSON has neither NaN nor infinity; they become null. No TensorFlow."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any, *, indent: int | None = None, sort_keys: bool = False, ascii: bool = False) -> str:
    """The value as JSON text; a float that is not finite becomes null.

    Args:
        indent, sort_keys: see `json.dumps`.
        ascii: escape all other characters, for text that must survive any encoding.

    By default Python writes NaN and Infinity, which other JSON readers need not accept. So only this function calls
    `json.dumps` (the linter refuses it elsewhere).
    """
    return json.dumps(  # noqa: TID251
        finite(value), ensure_ascii=ascii, allow_nan=False, indent=indent, sort_keys=sort_keys
    )


def finite(value: Any) -> Any:
    """The value with None for every NaN and infinity, at any depth; tuples become lists."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
