"""What Unicode 17 adds to `unicodedata` of Python 3.11 (Unicode 14). Standard library only.

`models.text.preprocessing` normalizes with ICU and RE2, which are newer than Python. A test compares `words.py` with
them over all of Unicode, and fails when these tables must be updated.
"""

from __future__ import annotations


def _span(first: int, texts: str) -> dict[int, str]:
    """Maps consecutive characters from `first` on to one character of `texts` each."""
    return {first + index: text for index, text in enumerate(texts)}


def _within(*spans: tuple[int, int]) -> frozenset[int]:
    return frozenset(point for first, last in spans for point in range(first, last + 1))


IGNORED = _within(
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point, which NFKC_Casefold drops (UAX #44); `unicodedata` has no such property."""

PUNCTUATION = _within((0x11B00, 0x11B09), (0x11F43, 0x11F4F))
"""Category P."""

FORMAT = _within((0x13439, 0x1343F))
"""Category Cf."""

MARKS = _within(
    (0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x11241, 0x11241), (0x11F00, 0x11F01), (0x11F36, 0x11F3A), (0x11F40, 0x11F40),
    (0x11F42, 0x11F42), (0x13440, 0x13440), (0x13447, 0x13455), (0x1E08F, 0x1E08F), (0x1E4EC, 0x1E4EF),
)  # fmt: skip
"""Category Mn."""

DECOMPOSED = {
    0x105C9: "\U000105d2",
    0x105E4: "\U000105da",
    0x11383: "\U00011382\U000113c9",
    0x11385: "\U00011384\U000113bb",
    0x1138E: "\U0001138b\U000113c2",
    0x11391: "\U00011390\U000113c9",
    0x113C5: "\U000113c2\U000113c2",
    0x113C7: "\U000113c2\U000113b8",
    0x113C8: "\U000113c2\U000113c9",
    0x16121: "\U0001611e\U0001611e",
    0x16122: "\U0001611e\U00016129",
    0x16123: "\U0001611e\U0001611f",
    0x16124: "\U00016129\U0001611f",
    0x16125: "\U0001611e\U00016120",
    0x16126: "\U0001611e\U0001611e\U0001611f",
    0x16127: "\U0001611e\U00016129\U0001611f",
    0x16128: "\U0001611e\U0001611e\U00016120",
    0x16D68: "\U00016d67\U00016d67",
    0x16D69: "\U00016d63\U00016d67",
    0x16D6A: "\U00016d63\U00016d67\U00016d67",
}
"""Canonical decompositions, without their marks."""

COMPOSED = tuple(
    (parts, chr(point)) for point, parts in sorted(DECOMPOSED.items(), key=lambda one: -len(one[1])) if len(parts) > 1
)
"""What NFC composes, longest first."""

FOLDED = {
    0x1C89: "\u1c8a",
    **_span(0xA7CB, "\u0264\ua7cd"),
    0xA7DA: "\ua7db",
    0xA7DC: "\u019b",
    **_span(0x10D50, "".join(map(chr, range(0x10D70, 0x10D86)))),
    **_span(0x1CCD6, "abcdefghijklmnopqrstuvwxyz0123456789"),
    **_span(0x1E030, "абвгдежзиклмопрстуфхцчшыэюꚉәіјөүӏабвгдежзиклопсуфхцчшъыґіѕџҫꙑұ"),
}
"""NFKC_Casefold of single characters."""
