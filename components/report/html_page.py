"""The report's page: sections of blocks as one HTML file that needs no other.

The texts of the table are untrusted: Jinja escapes all but the plots, which hold none. The page has no scripts, and its
content security policy forbids them and any request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from components.report.blocks import Section
from components.report.wording import visible

MOST_BYTES = 3_000_000
"""No page is larger."""
_BODY, _BODY_END = '<main id="main">', "</main>"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Headline:
    """One of the numbers at the top: what it is, the number, and what it is compared with."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: of the document.
        heading: at the top.
        subheading: below it: when, how long.
        verdict: one sentence.
        tone: of the verdict: "good", "bad" or "".
        headlines: the most important numbers.
        sections: in their order.
        foot: what made the page.
        body: HTML of the sections that `body_of` took from another page; "": they are rendered.
    """

    title: str
    heading: str
    subheading: str
    verdict: str
    tone: str
    headlines: Sequence[Headline]
    sections: Sequence[Section]
    foot: str
    body: str = ""


def render(page: Page) -> str:
    """The page as HTML."""
    return _template().render(page=page, style=Markup(_style()))


def body_of(page: str) -> str:
    """The HTML of a rendered page's sections; "" if it is not such a page."""
    begin, end = page.find(_BODY), page.rfind(_BODY_END)
    return page[begin + len(_BODY) : end] if 0 <= begin < end else ""


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["trusted"] = Markup
    environment.filters["visible"] = lambda value: visible(str(value))
    return environment.get_template("page.html")


@cache
def _style() -> str:
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")
