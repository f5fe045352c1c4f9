"""How Sphinx makes a site of docs/: `make docs`. Its root is the checkout, so that links work as they do on GitHub."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

ROOT = Path(__file__).resolve().parents[2]
INDEX = "docs/index"
_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.M | re.S)
_ENTRY = re.compile(r"^- \[[^]]+\]\(([^)#]+)\.md\)", re.M)

project = "Transom"
author = "the founders of Transom"
project_copyright = author
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser"]
root_doc = INDEX
include_patterns = [
    "docs/*.md",
    "benchmarks/README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "CHANGELOG.md",
]
exclude_patterns = [".venv", ".environments", ".git", "**/__pycache__", "*-out", "tests", ".*_cache", ".hypothesis"]
nitpicky = True
myst_heading_anchors = 4  # GitHub's anchors
myst_url_schemes = ["http", "https", "mailto"]
highlight_language = "none"

html_theme = "furo"
html_title = f"Transom {release}"
html_extra_path = ["root"]  # the site's address leads to docs/index.html
html_copy_source = False
html_show_sourcelink = False


def _add_navigation(_: Any, document: str, source: list[str]) -> None:
    """Makes a table of contents of each section of the index, whose lists of links are for readers on GitHub, too."""
    if document != INDEX:
        return
    trees = []
    for caption, text in _SECTION.findall(source[0]):
        pages = [posixpath.normpath(f"/{posixpath.dirname(INDEX)}/{page}") for page in _ENTRY.findall(text)]
        if pages:
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]))
    source[0] += "\n\n" + "\n\n".join(trees) + "\n"


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _add_navigation)
    app.add_lexer("csv", TextLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
