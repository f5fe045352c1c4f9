"""One name per label, however a file spells it, and warnings about odd names. Standard library only.

Spellings that never mean two labels are merged: whole numbers of any type (1, 1.0, "1"), truth values (true, True),
Unicode's composed and decomposed forms, kinds of spaces, and invisible characters. Names that are merely similar
("Positive" and "positive", "01" and "1") stay two labels; the data gate warns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

MISSING_WORDS = frozenset(
    {"n/a", "#n/a", "n.a.", "na", "nan", "<na>", "nat", "null", "#null!", "(null)", "nil", "(blank)"}
)
MISSING_WORDS |= {"\\n", "#div/0!", "#value!", "#ref!", "#name?", "#num!"}
"""What programs write where a value is missing, in lower case. Not "none" and "unknown", which are labels, too."""
MAX_LABEL_CHARACTERS = 100
"""A longer label is more likely a text."""
_WHOLE = re.compile(r"(-?\d+)\.0+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_TRUTH = {"true", "false"}
# Soft hyphen, zero-width space, word joiner, byte order mark, and direction marks. Not the joiners of emoji and
# Persian, which have a visible effect.
_UNSEEN = dict.fromkeys([0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)])
_UNSEEN |= dict.fromkeys(range(0x2066, 0x206A))
_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_CLEANED = {**_UNSEEN, **_SPACES}
_JOINED = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])")
_MINUS = str.maketrans("−﹣－", "---")


def label_name(text: str) -> str:
    """The normalized name of a label; may be empty."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_CLEANED))
    text = text.strip()
    if len(text) in (4, 5) and text.lower() in _TRUTH:
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return text
    return "0" if whole[1] == "-0" else whole[1]


def configured_label_name(written: str) -> str:
    """The name of a label in the configuration; surrounding white space stays, to be refused with advice."""
    return written if written != written.strip() else label_name(written)


def by_label_name(given: Mapping[str, Value], name: Callable[[str], str] = configured_label_name) -> dict[str, Value]:
    """The values by normalized label names.

    Raises:
        ValueError: two keys are spellings of one label; the second would silently replace the first.
    """
    spelled: dict[str, str] = {}
    for written in given:
        other = spelled.setdefault(name(written), written)
        if other != written:
            alike = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", written)
            first, second = map(ascii if alike else repr, (other, written))
            raise ValueError(f"{first} and {second} are two spellings of one label: keep one of them")
    return {label: given[written] for label, written in spelled.items()}


def spelling_key(label: str) -> str:
    """A key that is equal for labels that differ only in spelling.

    Spelling is case, width, the form of accents, spaces, "-" and "_", and redundant zeros and signs of numbers.
    """
    folded = unicodedata.normalize("NFKC", label).translate(_MINUS).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    if _NUMBER.fullmatch(folded):
        return f"{float(folded) + 0.0:.17g}"
    return _JOINED.sub("", " ".join(folded.split())).rstrip(" .!?:;,")


def is_one_line(label: str) -> bool:
    """Whether a label has no line end, as labels.txt of an edge bundle and MediaPipe require."""
    return len(label.splitlines()) == 1


def label_warning(label: str) -> str:
    """What is odd about a label, with the consequence; empty for most."""
    if not is_one_line(label):
        return (
            "has a line end: the model will be pushed without an edge bundle, whose labels.txt has one label per line"
        )
    if any(unicodedata.category(character) == "Cc" for character in label):
        return "has a tab or another control character, which breaks tables and logs that show it"
    if len(label) > MAX_LABEL_CHARACTERS:
        return f"has over {MAX_LABEL_CHARACTERS} characters, like a text: is task.label the right column?"
    if label.casefold() in MISSING_WORDS:
        return "is learned like any other: delete its rows if it stands for a missing label"
    return ""
