"""Values, names and errors as a transom.yaml and its comments show them."""

from __future__ import annotations

import math
from typing import Any

import yaml

from models.errors import TransomError

# The longest part of a refusal that a note repeats, in characters.
_LONGEST_NOTE = 240


def one_line(error: TransomError) -> str:
    """An error on one line, for a comment."""
    got, fix = " ".join(error.got.split()), f"; to fix: {error.fix}" if error.fix else ""
    return f"{error.what}: {got[:_LONGEST_NOTE]}{'…' if len(got) > _LONGEST_NOTE else ''}{fix}"


def percent(share: float) -> str:
    """A share as a percentage, with as many digits as keep it from being "0%" or "100%" where it is neither."""
    for digits in range(12):
        text = f"{share:.{digits}%}"
        if float(text.removesuffix("%")) not in (0.0, 100.0) or share in (0.0, 1.0):
            return text
    return "nearly 0%" if share < 0.5 else "nearly 100%"


def shorten(name: str, longest: int = 40) -> str:
    """A name for a comment: on one line, and not too long."""
    line = " ".join(name.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def scalar(value: Any) -> str:
    """A value as YAML, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    style = '"' if isinstance(plain, str) and len(plain.splitlines()) > 1 else None  # otherwise it takes several lines
    text: str = yaml.safe_dump(plain, allow_unicode=True, default_flow_style=True, default_style=style, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")
