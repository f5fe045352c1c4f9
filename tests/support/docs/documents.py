"""The documents of the checkout: their text, code blocks, links and headings."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
_LINK = re.compile(r"(?<!\\)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def documents(repository: Path = REPOSITORY) -> list[Path]:
    """All documents that people read: those in the root, docs/ and benchmarks/."""
    found = [*repository.glob("*.md"), *(repository / "docs").glob("*.md"), repository / "benchmarks" / "README.md"]
    return sorted(found)


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and text of each code block."""
    return [(language, text) for _, language, text in _FENCE.findall(document.read_text(encoding="utf-8"))]


def without_blocks(document: Path) -> str:
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def links(document: Path) -> Iterator[str]:
    """The targets of all links and pictures."""
    yield from _LINK.findall(re.sub(r"(`+)([^`].*?)\1", "code", without_blocks(document), flags=re.S))


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.+?)\s*$", without_blocks(document), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def tracked(repository: Path = REPOSITORY) -> set[str]:
    """The files that git knows, and new ones that it does not ignore: what a clone will have."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=repository, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())
