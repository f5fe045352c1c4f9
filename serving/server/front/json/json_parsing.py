"""The text of a REST request becomes values, within limits (the part of json_tensor.cc that is RapidJSON's).

orjson reads nearly everything. What RapidJSON takes and orjson does not goes to `json`: NaN and Infinity, text after
the document, bytes that are no UTF-8 (kept as they are, as surrogate escapes). A large text is read in pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import orjson

from serving.errors import Code, StatusError
from serving.server.calls.budget import Limits
from serving.server.calls.worker_threads import INLINE_BYTES, Check, unchecked
from serving.server.front.json.json_debug import debug_string
from serving.server.front.json.json_pieces import parsed
from serving.server.front.json.json_scan import scan

# Possessive, and matching an unterminated string as well, so that no text takes more than linear time.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))

# All up to the first half of a surrogate pair without the other.
_PAIRED = re.compile(r"(?:[^\\]++|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F]..).)*+", re.DOTALL)
_BLANKS = " \t\r\n"
_INT64_DIGITS = 20  # with a sign

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


def parsed_object(body: bytes, limits: Limits, check: Check = unchecked) -> AbstractContextManager[dict[str, Any]]:
    """The JSON object in `body`, for as long as the `with` block lasts.

    Strings are `str`, which hold surrogate escapes where they were no UTF-8, or `LongText`; see `encoded`. Where a key
    comes twice, the last counts (RapidJSON: the first).

    Raises:
        StatusError: INVALID_ARGUMENT: no JSON, no object, nested too deep, too many values; in a large body a name or
            another part of it that is too long to be read at once, or an object of too many names.
    """
    if len(body) <= INLINE_BYTES:
        return nullcontext(parse_small(body, limits))
    return _parsed_in_pieces(body, limits, check)


def parse_small(body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object in a body that may be parsed at once; see `parsed_object`."""
    if not body:
        raise StatusError(Code.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    if len(body) > limits.max_values or body.count(b"[") + body.count(b"{") > limits.max_depth:
        scan(body, limits.max_depth, limits.max_values)
    return _object(_parse(body, 0))


@contextmanager
def _parsed_in_pieces(body: bytes, limits: Limits, check: Check) -> Iterator[dict[str, Any]]:
    start = _first_character(body, check)
    if body[start] not in b"{[":  # no object: what else it is need not be read to its end
        _object(_parse(body[start : start + INLINE_BYTES], start))
    pieces = scan(body, limits.max_depth, limits.max_values, check, start)
    with parsed(body, pieces, _parse, check) as value:
        yield _object(value)


def _first_character(body: bytes, check: Check) -> int:
    for begin in range(0, len(body), INLINE_BYTES):
        check()
        part = body[begin : begin + INLINE_BYTES]
        rest = part.lstrip(_BLANKS.encode())
        if rest:
            return begin + len(part) - len(rest)
    raise _parse_error("The document is empty.", "", 0, len(body))


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: {debug_string(value)} Is not object")
    return value


def _parse(text: bytes, offset: int) -> Any:
    """The value of a text that may be parsed at once; `offset`: where it stands in the whole one."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_leniently(text, offset)


def _number(digits: str) -> int | float:
    """Whole numbers beyond 64 bits are doubles, as RapidJSON has them."""
    if len(digits) > _INT64_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def _parse_leniently(body: bytes, offset: int) -> Any:
    text = body.decode("utf-8", "surrogateescape")
    paired = _PAIRED.match(text)
    if paired is not None and text.startswith("\\u", paired.end()):
        raise _parse_error("The surrogate pair in string is invalid.", text, 0)
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        raise _parse_error("The document is empty.", text, start, offset)
    try:
        return json.JSONDecoder(parse_int=_number).raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        words = _WORDS.get(error.msg) or _missing_comma(text, error.pos)
        raise _parse_error(words, text, error.pos, offset) from error
    except (ValueError, RecursionError) as error:
        raise _parse_error("Invalid value.", text, start, offset) from error


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


def _parse_error(words: str, text: str, position: int, offset: int = 0) -> StatusError:
    offset += len(text[:position].encode("utf-8", "surrogateescape"))
    return StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {offset}")
