"""Parses the text of a REST request into values, within limits (RapidJSON's part in json_tensor.cc).

orjson parses nearly everything. `json` handles what RapidJSON accepts and orjson does not: NaN and Infinity, text after
the document, and bytes that are not UTF-8 (kept as surrogate escapes). A large text is parsed in fragments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import orjson

from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import INLINE_BYTES, Check, unchecked
from serving.server.front.json.json_error_text import debug_string, invalid, parse_error
from serving.server.front.json.json_fragments import parsed_fragments
from serving.server.front.json.json_splitting import split

# Possessive, and also matches an unterminated string, so that every text takes linear time.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))

# Everything before the first unpaired surrogate.
_PAIRED = re.compile(r"(?:[^\\]++|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F]..).)*+", re.DOTALL)
_BLANKS = " \t\r\n"
_INT64_DIGITS = 20  # with a sign

# RapidJSON's messages for the errors of `json` (rapidjson/error/en.h).
_RAPIDJSON_MESSAGES = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def parsed_object(body: bytes, limits: Limits, check: Check = unchecked) -> AbstractContextManager[dict[str, Any]]:
    """The JSON object in `body`, valid inside the `with` block.

    Strings are `str`, with surrogate escapes for bytes that are not UTF-8, or `LongText`; see `encoded`. Of equal keys
    the last wins (RapidJSON: the first).

    Raises:
        StatusError: INVALID_ARGUMENT: not JSON, not an object, nested too deep, or too many values; in a large body
            also a name or another part that is too long to be parsed at once, or an object with too many names.
    """
    if len(body) <= INLINE_BYTES:
        return nullcontext(parse_small(body, limits))
    return _parsed_in_fragments(body, limits, check)


def parse_small(body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object in a body that is small enough to be parsed at once; see `parsed_object`."""
    if not body:
        raise parse_error("The document is empty")
    if len(body) > limits.max_values or body.count(b"[") + body.count(b"{") > limits.max_depth:
        split(body, limits.max_depth, limits.max_values)
    return _object(_parse(body, 0))


@contextmanager
def _parsed_in_fragments(body: bytes, limits: Limits, check: Check) -> Iterator[dict[str, Any]]:
    start = _first_character(body, check)
    if body[start] not in b"{[":  # not an object, so there is no need to read all of it
        _object(_parse(body[start : start + INLINE_BYTES], start))
    fragments = split(body, limits.max_depth, limits.max_values, check, start)
    with parsed_fragments(body, fragments, _parse, check) as value:
        yield _object(value)


def _first_character(body: bytes, check: Check) -> int:
    for begin in range(0, len(body), INLINE_BYTES):
        check()
        part = body[begin : begin + INLINE_BYTES]
        rest = part.lstrip(_BLANKS.encode())
        if rest:
            return begin + len(part) - len(rest)
    raise parse_error("The document is empty.", len(body))


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise invalid(f"JSON Value: {debug_string(value)} Is not object")
    return value


def _parse(text: bytes, offset: int) -> Any:
    """The value of a short text, which begins at `offset` of the whole text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_leniently(text, offset)


def _number(digits: str) -> int | float:
    """Whole numbers beyond 64 bits become doubles, as in RapidJSON."""
    if len(digits) > _INT64_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def _parse_leniently(body: bytes, offset: int) -> Any:
    text = body.decode("utf-8", "surrogateescape")
    paired = _PAIRED.match(text)
    if paired is not None and text.startswith("\\u", paired.end()):
        raise parse_error("The surrogate pair in string is invalid.", 0)
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        raise parse_error("The document is empty.", offset + start)
    try:
        return json.JSONDecoder(parse_int=_number).raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        message = _RAPIDJSON_MESSAGES.get(error.msg) or _missing_comma(text, error.pos)
        before = text[: error.pos].encode("utf-8", "surrogateescape")
        raise parse_error(message, offset + len(before)) from error
    except (ValueError, RecursionError) as error:
        raise parse_error("Invalid value.", offset + start) from error


def _missing_comma(text: str, position: int) -> str:
    """RapidJSON's message where `json` expected a comma: RapidJSON distinguishes objects from arrays."""
    open_brackets = []
    for bracket in _STRING.sub(b"", text[:position].encode("utf-8", "replace")).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            open_brackets.append(bracket)
        elif open_brackets:
            open_brackets.pop()
    if open_brackets and open_brackets[-1] == ord("["):
        return "Missing a comma or ] after an array element."
    return "Missing a comma or } after an object member."
