"""Strings of a JSON text: as bytes, from base64, and the long ones that take many steps."""

from __future__ import annotations

import base64
import codecs
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked

_STEP_BYTES = 3 * 2**14  # without a rest in base64
_TAIL_BYTES = 32  # that hold a whole pair of escapes


class LongText:
    """A string of more than a chunk (`json_scan`), as the bytes that it stands for."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


TEXTS = (str, LongText)
"""The types of a string."""


def encoded(text: str | LongText) -> bytes:
    """The bytes of a string of a document, those that were no UTF-8 included."""
    if isinstance(text, LongText):
        return text.content
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def read_long(text: bytes, begin: int, end: int, parse: Callable[[bytes, int], Any], check: Check) -> LongText:
    """The string from its quote at `begin` to behind that at `end`, in steps.

    Args:
        parse: the string that a short JSON text is; its second argument is where that text stands, one byte on.

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
    """Where a step ends that parts no escape and no surrogate pair."""
    stop = begin + _STEP_BYTES
    if stop >= end:
        return end
    place = max(stop - _TAIL_BYTES, begin)
    before = text[begin:place]
    place -= (len(before) - len(before.rstrip(b"\\"))) % 2  # not in the midst of an escape of two bytes
    # Six bytes on no escape reaches that began before; the first one behind may be the second half of a pair.
    safe, first, after_high = stop, place + 6, False
    while place < stop:
        if place >= first and not after_high:
            safe = place
        if text[place] != ord("\\"):
            place, after_high = place + 1, False
            continue
        after_high = text[place + 1 : place + 3].lower() == b"ud" and text[place + 3 : place + 4] in b"89abAB"
        place += 6 if text[place + 1] == ord("u") else 2
    return safe


def decode_base64(digits: str | LongText, check: Check = unchecked) -> bytes:
    """Standard base64, with its padding or without; blanks are left out.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    try:
        if isinstance(digits, LongText):
            return _decoded_in_steps(digits.content, check)
        return _decoded("".join(digits.split()))
    except ValueError as error:  # as binascii.Error is
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
    """The base64 of many bytes."""
    for begin in range(0, len(content), _STEP_BYTES):
        check()
        yield base64.b64encode(content[begin : begin + _STEP_BYTES])


def decoded_in_steps(content: bytes, check: Check) -> Iterator[str]:
    """The text of many bytes of UTF-8; what is none is replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for begin in range(0, len(content), _STEP_BYTES):
        check()
        yield decoder.decode(content[begin : begin + _STEP_BYTES])
    yield decoder.decode(b"", final=True)
