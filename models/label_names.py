"""A label's one name, however a file spells it, and what makes a name a trouble. Standard library only.

Merged without a question is what no person means as two labels: whole numbers however a file types them (1, 1.0, "1"),
truth values (true, True), Unicode's composed and decomposed forms, kinds of spaces, and characters that cannot be seen.
Everything else that is merely alike ("Positive" and "positive", "01" and "1") stays two labels; the data gate warns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

LONGEST = 100
"""Characters above which a label is more likely a text."""
_WHOLE = re.compile(r"(-?\d+)\.0+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_TRUTH = {"true", "false"}
# Soft hyphen, zero-width space, word joiner, byte order mark, and the marks of direction. Not the joiners of emoji and
# of Persian, which can be seen by what they do.
_UNSEEN = dict.fromkeys([0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)])
_UNSEEN |= dict.fromkeys(range(0x2066, 0x206A))
_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_CLEANED = {**_UNSEEN, **_SPACES}
_JOINED = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])")
_MINUS = str.maketrans("−﹣－", "---")


def label_name(text: str) -> str:
    """The name that stands for a label; empty where nothing is left of it."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_CLEANED))
    text = text.strip()
    if len(text) in (4, 5) and text.lower() in _TRUTH:
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return text
    return "0" if whole[1] == "-0" else whole[1]


def as_in_the_data(written: str) -> str:
    """The name of a label that the configuration writes; white space around it stays, to be refused with advice."""
    return written if written != written.strip() else label_name(written)


def named_once(given: Mapping[str, Value], name: Callable[[str], str] = as_in_the_data) -> dict[str, Value]:
    """The values by the labels' names.

    Raises:
        ValueError: two spellings of one label, of which the second would silently replace the first.
    """
    spelled: dict[str, str] = {}
    for written in given:
        other = spelled.setdefault(name(written), written)
        if other != written:
            alike = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", written)
            first, second = map(ascii if alike else repr, (other, written))
            raise ValueError(f"{first} and {second} are two spellings of one label: keep one of them")
    return {label: given[written] for label, written in spelled.items()}


def spelling(label: str) -> str:
    """What labels share that differ in their spelling alone: case, width, accents' form, spaces, "-" and "_", and for
    numbers the zeros and signs that change nothing."""
    folded = unicodedata.normalize("NFKC", label).translate(_MINUS).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    if _NUMBER.fullmatch(folded):
        return f"{float(folded) + 0.0:.17g}"
    return _JOINED.sub("", " ".join(folded.split())).rstrip(" .!?:;,")


def one_line(label: str) -> bool:
    """Whether a label can stand on a line of its own: in labels.txt of an edge bundle, and for MediaPipe."""
    return len(label.splitlines()) == 1


def trouble(label: str) -> str:
    """What is odd about a label and what follows from it; empty for most."""
    if not one_line(label):
        return "has a line end: the model will be pushed without an edge bundle, whose labels.txt has a label a line"
    if any(unicodedata.category(character) == "Cc" for character in label):
        return "has a tab or another control character, which breaks tables and logs that show it"
    if len(label) > LONGEST:
        return f"has over {LONGEST} characters, as a text has: is task.label the right column?"
    return ""
