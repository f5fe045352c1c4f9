"""What only people know about a model, in its card: it stands between marks, so that it can be renewed there.

The rest of a card tells what one run measured, and stays as it is; so does what somebody has written into the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from components.report.card.card_metadata import licence_metadata
from components.report.markdown import bullets
from components.report.page_facts import Json
from components.report.wording import visible

_PROSE = ("intended_use", "limits", "data")
_UNSAID = "Not stated (`card.{}` in transom.yaml)."
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.S)


def about(card: Json) -> Iterator[tuple[str, str]]:
    """Terms and values."""
    yield "licence", str(card.get("licence") or "not stated (card.licence in transom.yaml)")
    if card.get("author"):
        yield "author", str(card["author"])
    if card.get("languages"):
        yield "languages", ", ".join(card["languages"])


def prose(card: Json, key: str) -> str:
    """Markdown of the user's; or that there is none."""
    said = visible(str(card.get(key) or "").strip())
    return said.replace("<!--", "&lt;!--") or _UNSAID.format(key)


def marked(key: str, text: str) -> str:
    """The text between marks, which nobody sees who reads the card as Markdown."""
    return f"<!-- card: {key} -->\n{text}\n<!-- end -->"


def renewed(text: str, card: Json) -> str:
    """A card with other words of people's. What it says else, and a file without marks, stays as it is.

    Args:
        text: the card.
        card: the section `card` of the configuration.
    """
    parts = {"about": bullets(about(card)), **{key: prose(card, key) for key in _PROSE}}
    for key, said in parts.items():
        begin, end = f"<!-- card: {key} -->\n", "\n<!-- end -->"
        before, mark, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if mark and found:
            text = f"{before}{begin}{said}{end}{after}"
    front = _FRONT.match(text)
    return text if front is None else f"---\n{_metadata(front[1], card)}\n---\n{text[front.end() :]}"


def _metadata(text: str, card: Json) -> str:
    """The metadata with another licence and other languages; what is no YAML stays as it is."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if not isinstance(found, dict):
        return text
    rest = {key: value for key, value in found.items() if key not in ("license", "license_name", "language")}
    languages = list(card.get("languages") or [])
    wanted = licence_metadata(card.get("licence")) | ({"language": languages} if languages else {})
    if {**rest, **wanted} == found:
        return text
    return yaml.safe_dump({**wanted, **rest}, allow_unicode=True, sort_keys=False).strip()
