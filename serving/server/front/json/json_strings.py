"""Strings of a JSON text: conversion to bytes, base64, and long strings, which take many steps."""

from __future__ import annotations

import base64
import codecs
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked

_STEP_BYTES = 3 * 2**14  # a multiple of 3, so that base64 needs no padding
_TAIL_BYTES = 32  # enough for a pair of escapes


class LongText:
    """A string longer than a chunk (`json_splitting`), decoded to bytes."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


TEXTS = (str, LongText)
"""The types of strings."""


def encoded(text: str | LongText) -> bytes:
    """The bytes of a string of a document, including any that are not UTF-8."""
    if isinstance(text, LongText):
        return text.content
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def decode_long(text: bytes, begin: int, end: int, parse: Callable[[bytes, int], Any], check: Check) -> LongText:
    """Decodes, in steps, the string whose opening quote is at `begin` and whose closing quote ends at `end`.

    Args:
        parse: parses a short JSON text; its second argument is the text's offset.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    begin, end = begin + 1, end - 1
    content = io.BytesIO()
    while begin < end:
        check()
        stop = _step_end(text, begin, end)
        part = text[begin:stop]
        plain = b"\\" not in part and int(np.frombuffer(part, np.uint8).min()) >= ord(" ")
        content.write(part if plain else encoded(parse(b'"%b"' % part, begin - 1)))
        begin = stop
    return LongText(content.getvalue())


def _step_end(text: bytes, begin: int, end: int) -> int:
    """The end of a step that splits neither an escape nor a surrogate pair."""
    stop = begin + _STEP_BYTES
    if stop >= end:
        return end
    offset = max(stop - _TAIL_BYTES, begin)
    before = text[begin:offset]
    offset -= (len(before) - len(before.rstrip(b"\\"))) % 2  # not inside a two-byte escape
    # An escape that began earlier ends within six bytes; the next one may be the second half of a pair.
    safe, first, after_high = stop, offset + 6, False
    while offset < stop:
        if offset >= first and not after_high:
            safe = offset
        if text[offset] != ord("\\"):
            offset, after_high = offset + 1, False
            continue
        after_high = text[offset + 1 : offset + 3].lower() == b"ud" and text[offset + 3 : offset + 4] in b"89abAB"
        offset += 6 if text[offset + 1] == ord("u") else 2
    return safe


def decode_base64(digits: str | LongText, check: Check = unchecked) -> bytes:
    """Decodes standard base64, with or without padding; white space is ignored.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    try:
        if isinstance(digits, LongText):
            return _decoded_in_steps(digits.content, check)
        return _decoded("".join(digits.split()))
    except ValueError as error:  # includes binascii.Error
        raise StatusError(Code.INVALID_ARGUMENT, "Unable to base64 decode") from error


def _decoded(digits: str) -> bytes:
    return base64.b64decode(digits + "=" * (-len(digits) % 4) if "=" not in digits else digits, validate=True)


def _decoded_in_steps(content: bytes, check: Check) -> bytes:
    decoded, digits = io.BytesIO(), b""
    for begin in range(0, len(content), _STEP_BYTES):
        check()
        digits += b"".join(content[begin : begin + _STEP_BYTES].split())
        whole = max(len(digits) - 1, 0) // 4 * 4  # the last four may be padded
        if b"=" in digits[:whole]:
            raise ValueError("padding before the end")
        decoded.write(base64.b64decode(digits[:whole], validate=True))
        digits = digits[whole:]
    decoded.write(_decoded(digits.decode("ascii")))
    return decoded.getvalue()


def base64_in_steps(content: bytes, check: Check) -> Iterator[bytes]:
    """The base64 of many bytes, in parts."""
    for begin in range(0, len(content), _STEP_BYTES):
        check()
        yield base64.b64encode(content[begin : begin + _STEP_BYTES])


def decoded_in_steps(content: bytes, check: Check) -> Iterator[str]:
    """The text of many bytes of UTF-8, in parts; invalid bytes are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for begin in range(0, len(content), _STEP_BYTES):
        check()
        yield decoder.decode(content[begin : begin + _STEP_BYTES])
    yield decoder.decode(b"", final=True)
