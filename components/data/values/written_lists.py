"""Lists that a file holds as text: JSON's ["a", "b"], Python's ['a', 'b'] (as pandas writes it), NumPy's ['a' 'b'].

Also the forms of other programs: `frozenset({…})`, `array([…], dtype=object)`, R's `c(…)`, a list inside a JSON string,
Label Studio's `{"choices": […]}`, and Postgres' {a,"b c"}.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from typing import Any

_QUOTED = r"""[uU]?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_WORD = r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?|[Tt]rue|[Ff]alse|None|null|nan"
_ITEM = re.compile(rf"\s*(?:np\.str_\()?(?P<item>{_QUOTED}|{_WORD})\)?\s*(?P<comma>,?)", re.DOTALL)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_WORDS = {"none": None, "null": None, "nan": None, "true": True, "false": False}
_EMPTY = {"[]", "()", "{}", "set()"}
_WRAPPED = re.compile(
    r"""(?:(?:frozenset|set|tuple|list|array|np\.array|c)\((?P<call>.*?)(?:,\s*dtype=[^()]*)?\)
    |\{\s*"choices"\s*:\s*(?P<choices>\[.*\])\s*\})""",
    re.DOTALL | re.VERBOSE,
)
_STARTS = ("[", "(", "{", '"[', "set(", "frozenset(", "tuple(", "list(", "array(", "np.array(", "c(")
"""The possible beginnings of a list that was written as text."""
_CURLY = str.maketrans("“”„‘’", '"""\'\'')

Item = str | bool | float | None


def parse_list(text: str) -> list[Item] | None:
    """The items of a list of quoted texts, numbers and booleans; None if the text is not such a list."""
    text = text.strip()
    if not text.startswith(_STARTS):
        return None
    items = _items(_unwrap(text))
    return _items(_unwrap(text.translate(_CURLY))) if items is None and not text.isascii() else items


def _unwrap(text: str) -> str:
    """The list alone, without its wrapper."""
    if text.startswith('"['):
        try:
            return str(json.loads(text)).strip()
        except json.JSONDecodeError:
            return text
    found = _WRAPPED.fullmatch(text)
    if found is None:
        return text
    inner = (found["call"] or found["choices"] or "").strip()
    # R's c("a", "b") has no brackets.
    return f"[{inner}]" if text.startswith("c(") else inner or "[]"


def _items(text: str) -> list[Item] | None:
    if "".join(text.split()) in _EMPTY:
        return []
    if _BRACKETS.get(text[:1]) != text[-1:]:
        return None
    inner, place, items, commas = text[1:-1].strip(), 0, [], 0
    while place < len(inner):
        found = _ITEM.match(inner, place)
        if found is None:
            return None
        place = found.end()
        commas += bool(found["comma"])
        items.append(_value(found["item"]))
    # Without commas, "(1)" and "{2020}" are text.
    return items if text[0] == "[" or commas or isinstance(items[0], str) else None


def parse_bare_list(text: str) -> list[str] | None:
    """The items of "[joy, fear]", a list written without quotes, and of Postgres' "{joy,"deep fear"}"; None if the text
    is not such a list."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    inner = text[1:-1]
    if re.search(r"[\[\]{}:]", inner):
        return None
    if text[0] == "{":
        parts = next(csv.reader([inner], escapechar="\\", doublequote=False), [])
        return [item for part in parts if (item := part.strip()) and item != "NULL"]
    items = [item for part in inner.split(",") if (item := part.strip())]
    return None if any(item[0] in "\"'" for item in items) else items


def describe_non_label(text: str) -> str:
    """The kind of a value that cannot be labels, if the text is its source code: "an object", "a list of lists or
    objects"; else empty."""
    text = text.strip()
    if text[:1] not in ("{", "[") or (text[1:-1].lstrip()[:1] not in "{[\"'" and ":" not in text):
        return ""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            return "an object"
        if isinstance(value, list) and any(isinstance(item, list | dict | tuple) for item in value):
            return "a list of lists or objects"
    return ""


def is_vector(items: list[Any]) -> bool:
    """Whether a list is a vector with one number per label, [0, 1, 0] or [0.0, 1.0, 0.0], and not a list of names."""
    numbers = [item for item in items if isinstance(item, int | float)]
    return len(numbers) == len(items) > len(set(numbers)) and all(0 <= number <= 1 for number in numbers)


def _value(item: str) -> Item:
    if item.lower() in _WORDS:
        return _WORDS[item.lower()]
    if item[-1] not in "\"'":
        return float(item)
    if item.startswith('"'):
        try:
            return str(json.loads(item))
        except json.JSONDecodeError:  # Python uses double quotes if a text contains an apostrophe
            pass
    try:
        return str(ast.literal_eval(item))
    except (ValueError, SyntaxError):
        return item.lstrip("uU")[1:-1]
