"""Numbers, counts and texts as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence

ABSENT = "–"


def number(value: float | None) -> str:
    """Four decimals, or thousands separators for a large number."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def short(value: float | None) -> str:
    """Three significant digits."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.3g}"


def signed(value: float | None) -> str:
    """With its sign; what rounds to zero has a plus."""
    return ABSENT if value is None or not math.isfinite(value) else f"{round(value, 4) + 0.0:+.4f}"


def interval(bounds: Sequence[float] | None) -> str:
    """From low to high."""
    return ABSENT if not bounds else f"{number(bounds[0])} to {number(bounds[1])}"


def signed_interval(bounds: Sequence[float] | None) -> str:
    """From low to high, with signs."""
    return ABSENT if not bounds else f"{signed(bounds[0])} to {signed(bounds[1])}"


def percent(share: float | None) -> str:
    """With one decimal."""
    return ABSENT if share is None or not math.isfinite(share) else f"{share:.1%}"


def count(things: int, name: str, plural: str = "") -> str:
    """ "1 row", "2,000 rows"."""
    return f"{things:,} {name if things == 1 else plural or name + 's'}"


def seconds(value: float) -> str:
    """ "0.8 s", "3 min 12 s", "2 h 05 min"."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def megabytes(size: float | None) -> str:
    """From bytes."""
    return ABSENT if size is None else f"{size / 1e6:,.2f} MB"


def chance(probability: float) -> str:
    """How likely chance alone is."""
    return "< 0.001" if probability < 0.001 else f"= {probability:.3f}"


def sentence(text: str) -> str:
    """A message as a sentence: a capital letter, unless it begins with a setting's name, and a full stop."""
    first = text.split(" ", 1)[0]
    begin = text if "." in first or "_" in first else f"{text[:1].upper()}{text[1:]}"
    return begin if begin.endswith((".", "!", "?", "…")) else f"{begin}."


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"; "none"."""
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def cut(text: str, most: int) -> str:
    """The beginning of a text, with an ellipsis if there is more."""
    return text if len(text) <= most else text[:most].rstrip() + " …"


def in_one_line(text: str) -> str:
    """A text that is safe to show (`visible`), with single spaces in place of line ends and runs of spaces."""
    return " ".join(visible(text).split())


def visible(text: str) -> str:
    """A text that is safe to show: control characters, and those that turn the direction of what follows, become
    U+FFFD, because they could make a page say what it does not."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    code = ord(character)
    controls = (code < 32 and character not in "\t\n\r") or 127 <= code < 160 or 0xD800 <= code < 0xE000
    return controls or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
