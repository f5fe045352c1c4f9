"""The document of the page: one HTML file with its style and script inside, and the header that it is sent with.

The script shows texts that strangers wrote. The policy therefore allows this style and this script by their hashes, no
other of any kind, requests to this server alone, and no function that turns a text into markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

_FILES = Path(__file__).parent / "files"
_SCRIPTS = ("texts.js", "calls.js", "server.js", "elements.js", "answers.js", "page.js")
"""In the order in which they are joined: each uses only those before it."""


@dataclass(frozen=True)
class PageDocument:
    """The document, and the fields of its HTTP header."""

    body: bytes
    fields: Mapping[str, str]


def page_document(*, keys: bool) -> PageDocument:
    """Makes the document, which is the same for all models and holds no secret. Reads the files.

    Args:
        keys: whether the server asks for API keys, so that the page asks the reader for one.
    """
    style = _read("page.css")
    script = "\n".join(map(_read, _SCRIPTS))
    html = Template(_read("page.html")).substitute(style=style, script=script, keys="asked" if keys else "none")
    policy = (
        "default-src 'none'",
        "connect-src 'self'",
        f"script-src {_source(script)}",
        f"style-src {_source(style)}",
        "img-src data:",  # its icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    fields = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return PageDocument(html.encode(), fields)


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """The policy's name for an inline style or script: its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
