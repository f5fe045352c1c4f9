"""Splits text into words in Python, as `models.text.preprocessing.split_words` does in a graph. Standard library only.

Both must give the same words for every text; a test compares them over all of Unicode.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

from . import unicode_newer
from .text_rules import CJK_BLOCKS, MEDIAPIPE_PUNCTUATION, MEDIAPIPE_SPACE

_ASCII_SPACE = frozenset(map(ord, " \t\n\v\f\r"))
_ASCII_PUNCTUATION = frozenset(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))


class TranslationTable(dict[int, str]):
    """For `str.translate`: computes the replacement of a character at its first occurrence."""

    def __init__(self, compute: Callable[[int], str]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, point: int) -> str:
        text = self[point] = self._compute(point)
        return text


def valid_text(text: str | bytes) -> str:
    """The text as valid Unicode; everything that is not UTF-8 becomes U+FFFD."""
    if isinstance(text, str):
        text = text.encode("utf-8", errors="surrogatepass")
    return text.decode("utf-8", errors="replace")


def split_words(
    text: str | bytes, *, lowercase: bool, strip_accents: bool, mediapipe_compatible: bool = False
) -> Iterator[str]:
    """Normalizes a text and splits it into words, punctuation marks and CJK characters, in order.

    Args:
        text: any text; bytes are read as UTF-8.
        lowercase: fold case (Unicode's NFKC_Casefold).
        strip_accents: decompose (NFD) and drop the combining marks.
        mediapipe_compatible: the words of MediaPipe's TextClassifier, see `mediapipe_rules.py`; the other two are then
            ignored.
    """
    text = valid_text(text)
    if mediapipe_compatible:
        yield from filter(None, text.partition("\0")[0].translate(_AS_MEDIAPIPE).split(" "))
        return
    if strip_accents:
        text = without_marks(text, "NFD")
    for word in text.translate(_SEPARATED).split(" "):
        if word:
            yield fold(word) if lowercase else word


def without_marks(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """Decomposes a text and drops its combining marks (category Mn)."""
    return unicodedata.normalize(form, text.translate(_DECOMPOSED)).translate(_WITHOUT_MARKS)


def fold(text: str) -> str:
    """Unicode's NFKC_Casefold: "Straße" to "strasse", "…" to "..."."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFC", text.translate(_FOLDED))
    for parts, whole in unicode_newer.COMPOSED:
        folded = folded.replace(parts, whole)
    return folded


def _category(point: int) -> str:
    if point in unicode_newer.PUNCTUATION:
        return "Po"
    if point in unicode_newer.FORMAT:
        return "Cf"
    return "Mn" if point in unicode_newer.MARKS else unicodedata.category(chr(point))


def _separated(point: int) -> str:
    """A character, with spaces where words end. Non-ASCII white space stays in its word, as in KerasHub."""
    category = _category(point)
    if point in _ASCII_SPACE or category in ("Cc", "Cf"):
        return " "
    return f" {chr(point)} " if _stands_alone(point) else chr(point)


def _as_mediapipe(point: int) -> str:
    """A character for MediaPipe: only its own white space ends a word, and only ASCII is lowercased."""
    if chr(point) in MEDIAPIPE_SPACE:
        return " "
    if _stands_alone(point) or point in MEDIAPIPE_PUNCTUATION:
        return f" {chr(point)} "
    return chr(point).lower() if point < 0x80 else chr(point)


def _stands_alone(point: int) -> bool:
    return (
        point in _ASCII_PUNCTUATION
        or _category(point).startswith("P")
        or any(first <= point <= last for first, last in CJK_BLOCKS)
    )


def _folded(point: int) -> str:
    """NFKC_Casefold of one character; that of a text is its characters', composed (UAX #44)."""
    if point in unicode_newer.IGNORED:
        return ""
    folded = unicode_newer.FOLDED.get(point, chr(point))
    for _ in range(2):  # the result may compose to something that can be folded again
        folded = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", folded)


_SEPARATED = TranslationTable(_separated)
_AS_MEDIAPIPE = TranslationTable(_as_mediapipe)
_FOLDED = TranslationTable(_folded)
_DECOMPOSED = TranslationTable(lambda point: unicode_newer.DECOMPOSED.get(point, chr(point)))
_WITHOUT_MARKS = TranslationTable(lambda point: "" if _category(point) == "Mn" else chr(point))
