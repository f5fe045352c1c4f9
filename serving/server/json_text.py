"""The text of a REST request becomes values, within limits (the part of json_tensor.cc that is RapidJSON's).

orjson reads nearly everything. What RapidJSON takes and orjson does not goes to `json`: NaN and Infinity, text after
the document, bytes that are no UTF-8 (kept as they are, as surrogate escapes).
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import orjson

from serving.errors import Code, StatusError

MAX_DEPTH = 500
"""The deepest nesting that can be asked for: `json` and the walk over the values recurse."""

# Possessive, and matching an unterminated string as well, so that no text takes more than linear time.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]], _STEP[[ord("]"), ord("}")]] = 1, -1
_CHUNK_BYTES = 2**20

_ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
_BLANKS = " \t\r\n"
_INT64_DIGITS = 20  # with a sign
_SURROGATES = re.compile("[\ud800-\udfff]")

# RapidJSON's words for what `json` finds wrong (rapidjson/error/en.h).
_WORDS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def parse_object(body: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object in `body`. Strings that were no UTF-8 hold surrogate escapes (see `encoded`).

    Where a key comes twice, the last counts (RapidJSON: the first).

    Raises:
        StatusError: INVALID_ARGUMENT: no JSON, no object, or nested deeper than `max_depth`.
    """
    if not body:
        raise StatusError(Code.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    if body.count(b"[") + body.count(b"{") > max_depth and _deeper_than(body, max_depth):
        message = f"JSON Parse error: The document is nested deeper than {max_depth} levels (--max_json_depth)"
        raise StatusError(Code.INVALID_ARGUMENT, message)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _parse_leniently(body)
    if type(value) is not dict:
        raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: {debug_string(value)} Is not object")
    return value


def encoded(text: str) -> bytes:
    """The bytes of a string of `parse_object`, those that were no UTF-8 included."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """The string for a message, which must be UTF-8."""
    return _SURROGATES.sub("\ufffd", text)


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    return "Array" if isinstance(value, list) else "String" if isinstance(value, str) else "Number"


def debug_string(value: Any, limit: int = 256) -> str:
    """The value as RapidJSON's PrettyWriter prints it, no token being begun after `limit` bytes."""
    pieces: list[str] = []
    _print(value, 0, pieces, [limit])
    return printable("".join(pieces))


def _print(value: Any, level: int, pieces: list[str], left: list[int]) -> bool:
    """Appends the value's tokens; False when the limit is reached."""

    def put(piece: str) -> bool:
        if left[0] <= 0:
            return False
        pieces.append(piece)
        left[0] -= len(piece)
        return True

    if isinstance(value, dict):
        if not put("{"):
            return False
        for number, (key, item) in enumerate(value.items()):
            start = ("," if number else "") + "\n" + "    " * (level + 1)
            if not put(f"{start}{_token(key)}: ") or not _print(item, level + 1, pieces, left):
                return False
        return put("\n" + "    " * level + "}" if value else "}")
    if isinstance(value, list):
        if not put("["):
            return False
        for number, item in enumerate(value):
            if number and not put(", "):
                return False
            if not _print(item, level + 1, pieces, left):
                return False
        return put("]")
    return put(_token(value))


def _token(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _deeper_than(body: bytes, max_depth: int) -> bool:
    brackets = _STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
    depth = 0
    for begin in range(0, len(brackets), _CHUNK_BYTES):
        depths = _STEP[np.frombuffer(brackets, np.uint8, min(_CHUNK_BYTES, len(brackets) - begin), begin)]
        heights = depth + np.cumsum(depths, dtype=np.int64)
        if heights.max() > max_depth:
            return True
        depth = int(heights[-1])
    return False


def _number(digits: str) -> int | float:
    """Whole numbers beyond 64 bits are doubles, as RapidJSON has them."""
    if len(digits) > _INT64_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def _parse_leniently(body: bytes) -> Any:
    text = body.decode("utf-8", "surrogateescape")
    if any(match[1] for match in _ESCAPES.finditer(text)):
        raise _parse_error("The surrogate pair in string is invalid.", text, 0)
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        raise _parse_error("The document is empty.", text, start)
    try:
        return json.JSONDecoder(parse_int=_number).raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        raise _parse_error(_WORDS.get(error.msg) or _missing_comma(text, error.pos), text, error.pos) from error
    except (ValueError, RecursionError) as error:
        raise _parse_error("Invalid value.", text, start) from error


def _missing_comma(text: str, position: int) -> str:
    """What RapidJSON says where `json` expected a comma: it tells an object from an array."""
    open_brackets = []
    for bracket in _STRING.sub(b"", text[:position].encode("utf-8", "replace")).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            open_brackets.append(bracket)
        elif open_brackets:
            open_brackets.pop()
    if open_brackets and open_brackets[-1] == ord("["):
        return "Missing a comma or ] after an array element."
    return "Missing a comma or } after an object member."


def _parse_error(words: str, text: str, position: int) -> StatusError:
    offset = len(text[:position].encode("utf-8", "surrogateescape"))
    return StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {offset}")
