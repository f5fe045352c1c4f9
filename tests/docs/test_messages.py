"""docs/troubleshooting.md: each message that it quotes is one that the code still has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
ANY = "…"
PACKAGES = ("models", "tflite", "serving", "components", "pipeline")


def _quoted() -> list[str]:
    """The messages in the headings, and those in the text that have a gap."""
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.M)
    found = [quote for heading in headings for quote in re.findall(r"`([^`]+)`", heading)]
    return found + [quote for quote in re.findall(r"^[^#\n].*?(`[^`\n]*…[^`\n]*`)", text, re.M) if " " in quote]


def _literals(repository: Path) -> Iterator[str]:
    """The texts in the code; what a text is filled with becomes a gap."""
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {
                node.targets[0].id: str(node.value.value)
                for node in tree.body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and isinstance(node.value, ast.Constant)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(_part(part, names) for part in node.values)
    yield (repository / "Makefile").read_text(encoding="utf-8")


def _part(part: ast.expr, names: dict[str, str]) -> str:
    """A part of an f-string: text, a constant of the module, or a gap."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return names.get(part.value.id, ANY) if isinstance(part.value, ast.Name) else ANY


def _occurs(quote: str, literals: list[str]) -> bool:
    """Whether the parts of a quoted message, between its gaps, are in one text of the code, in that order."""
    parts = [re.escape(part) for part in quote.strip("`").split(ANY) if part]
    pattern = re.compile(".*?".join(parts), re.S)
    return bool(parts) and any(pattern.search(literal) for literal in literals)


@pytest.fixture(scope="module")
def literals(repository: Path) -> list[str]:
    return list(_literals(repository))


@pytest.mark.parametrize("quote", _quoted())
def test_the_code_has_the_message(quote: str, literals: list[str]) -> None:
    assert len(re.sub(r"[^A-Za-z]", "", quote)) > 3, "a message without words matches anything"
    assert _occurs(quote, literals)


def test_a_message_that_is_gone_is_noticed(literals: list[str]) -> None:
    assert not _occurs("no transom.yml in …", literals)
    assert not _occurs("… in no transom.yaml …", literals)


def test_the_page_has_the_usual_messages() -> None:
    assert len(re.findall(r"^### ", PAGE.read_text(encoding="utf-8"), re.M)) >= 20
