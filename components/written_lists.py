"""Lists that a file holds as text: JSON's ["a", "b"], Python's ['a', 'b'] (pandas writes it), numpy's ['a' 'b'].

Standard library only.
"""

from __future__ import annotations

import ast
import json
import re

_QUOTED = r"""[uU]?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_WORD = r"-?\d+(?:\.\d+)?|[Tt]rue|[Ff]alse|None|null|nan"
_ITEM = re.compile(rf"\s*(?:np\.str_\()?(?P<item>{_QUOTED}|{_WORD})\)?\s*(?P<comma>,?)", re.DOTALL)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_WORDS = {"none": None, "null": None, "nan": None, "true": True, "false": False}
_EMPTY = {"[]", "()", "{}", "set()"}

Item = str | bool | float | None


def written_list(text: str) -> list[Item] | None:
    """The items of a list of quoted texts, numbers and truth values; None for what is no such list."""
    text = text.strip()
    if text[:1] not in _BRACKETS and text != "set()":
        return None
    if "".join(text.split()) in _EMPTY:
        return []
    if _BRACKETS[text[0]] != text[-1]:
        return None
    inner, place, items, commas = text[1:-1].strip(), 0, [], 0
    while place < len(inner):
        found = _ITEM.match(inner, place)
        if found is None:
            return None
        place = found.end()
        commas += bool(found["comma"])
        items.append(_value(found["item"]))
    # What only commas make a list: "(1)" and "{2020}" are text
    return items if text[0] == "[" or commas or isinstance(items[0], str) else None


def bare_list(text: str) -> list[str] | None:
    """The items of "[joy, fear]", a list that someone has written without quotes; None for what is no such list."""
    text = text.strip()
    inner = text[1:-1]
    if text[:1] + text[-1:] != "[]" or len(text) < 2 or re.search(r"[\[\]{}\"']", inner):
        return None
    return [item for part in inner.split(",") if (item := part.strip())]


def _value(item: str) -> Item:
    if item.lower() in _WORDS:
        return _WORDS[item.lower()]
    if item[-1] not in "\"'":
        return float(item)
    if item.startswith('"'):
        try:
            return str(json.loads(item))
        except json.JSONDecodeError:  # Python quotes so where a text holds an apostrophe
            pass
    try:
        return str(ast.literal_eval(item))
    except (ValueError, SyntaxError):
        return item.lstrip("uU")[1:-1]
