"""Errors about JSON, and the text of values in them: at most a few hundred bytes, however large the value is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from serving.errors import Code, StatusError
from serving.server.front.json.json_strings import TEXTS, LongText

_LIMIT = 256
"""No token begins after this many characters, and none is longer."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def parse_error(problem: str, offset: int | None = None) -> StatusError:
    """An error in RapidJSON's form; `offset` is in bytes of the text."""
    return invalid(f"JSON Parse error: {problem}" + ("" if offset is None else f" at offset: {offset}"))


def printable(text: str | LongText, limit: int = _LIMIT) -> str:
    """A string for a message: valid UTF-8, and cut if longer than `limit` characters."""
    if isinstance(text, LongText):
        text = text.content[: 4 * limit + 4].decode("utf-8", "replace")
    return without_surrogates(text if len(text) <= limit else f"{text[:limit]}...")


def without_surrogates(text: str) -> str:
    """The string with replacement characters for what UTF-8 cannot encode."""
    return _SURROGATES.sub("\ufffd", text)


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    return "Array" if isinstance(value, list) else "String" if isinstance(value, TEXTS) else "Number"


def debug_string(value: Any, limit: int = _LIMIT) -> str:
    """The value as RapidJSON's PrettyWriter prints it, beginning no token after `limit` characters."""
    pieces: list[str] = []
    for piece in _tokens(value, 0):
        if limit <= 0:
            break
        pieces.append(piece)
        limit -= len(piece)
    return "".join(pieces)


def _tokens(value: Any, level: int) -> Iterator[str]:
    """The tokens of a value, with the white space between them."""
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            start = ("," if number else "") + "\n" + "    " * (level + 1)
            yield f"{start}{_token(key)}: "
            yield from _tokens(item, level + 1)
        yield "\n" + "    " * level + "}" if value else "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ", "
            yield from _tokens(item, level + 1)
        yield "]"
    else:
        yield _token(value)


def _token(value: Any) -> str:
    return json.dumps(printable(value) if isinstance(value, TEXTS) else value, ensure_ascii=False)
