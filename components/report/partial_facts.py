"""Sections of facts that are incomplete: a record of another version, or one that somebody has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from components.report.blocks import Block, Paragraph
from components.report.page_facts import RunFacts

_Part = TypeVar("_Part")
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def or_else(part: Callable[[RunFacts], _Part], facts: RunFacts, other: _Part) -> _Part:
    """A part of the page's top; something else if a fact that it needs is missing or of another kind."""
    try:
        return part(facts)
    except _DAMAGE:
        return other


def whole_or_why(blocks: Callable[[RunFacts], Iterator[Block]], facts: RunFacts) -> list[Block]:
    """The blocks of a section; if a fact is missing or of another kind, those before it, and why there are no more."""
    found: list[Block] = []
    try:
        found.extend(blocks(facts))  # keeps those that came before an error
    except _DAMAGE as error:
        what = f"{type(error).__name__}: {error}"
        found.append(Paragraph(f"The rest is missing: the record of the run is not complete ({what}).", "note"))
    return found
