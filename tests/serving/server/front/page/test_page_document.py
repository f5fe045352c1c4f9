"""The document's text: its policy allows what is inside and nothing else, and no function that makes markup is used."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from serving.server.front.page import page_document as module
from serving.server.front.page.page_document import page_document

FILES = Path(module.__file__).with_name("files")


class Document(HTMLParser):
    """Tags with attributes, and the texts of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("style", "script") and data.strip():
            self.inline.setdefault(self.tags[-1][0], data)


@pytest.fixture(params=[False, True])
def document(request: pytest.FixtureRequest) -> module.PageDocument:
    return page_document(keys=request.param)


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(document: module.PageDocument) -> None:
    inline = Document(document.body.decode()).inline
    hashes = {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for tag, text in inline.items()
    }
    directives = dict(one.split(" ", 1) for one in document.fields["Content-Security-Policy"].split("; "))
    assert directives == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "script-src": hashes["script"],
        "style-src": hashes["style"],
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_nothing_is_loaded_and_no_handler_or_style_is_an_attribute(document: module.PageDocument) -> None:
    for tag, attributes in Document(document.body.decode()).tags:
        assert not any(name.startswith("on") or name in ("style", "src", "srcset") for name in attributes), tag
        assert (attributes.get("href") or "#").startswith(("#", "data:")), tag
    assert not re.search(r"url\(|@import", Document(document.body.decode()).inline["style"])


def test_the_script_uses_no_function_that_makes_markup_or_stores() -> None:
    script = "\n".join(path.read_text(encoding="utf-8") for path in FILES.glob("*.js"))
    names = "innerHTML outerHTML insertAdjacentHTML document.write eval( Function( localStorage sessionStorage cookie"
    assert [name for name in names.split() if name in script] == []
    assert not re.search("(?i)</script|<!--", script)  # would end the element, or begin another state of the parser


def test_every_file_of_the_page_is_in_it(document: module.PageDocument) -> None:
    text = document.body.decode()
    scripts = [path for path in FILES.iterdir() if path.suffix in (".js", ".css")]
    assert len(scripts) > 2
    assert [path.name for path in scripts if path.read_text(encoding="utf-8") not in text] == []


def test_the_colours_are_those_of_the_report(repository: Path) -> None:
    def colours(path: Path) -> list[dict[str, str]]:
        blocks = re.findall(r":root \{(.*?)\}", path.read_text(encoding="utf-8"), re.DOTALL)
        return [dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in blocks[:2]]

    pages, reports = colours(FILES / "page.css"), colours(repository / "components/report/templates/style.css")
    for page, report in zip(pages, reports, strict=True):
        assert len(page.keys() & report.keys()) > 10
        assert {name: page[name] for name in page.keys() & report.keys()} == {
            name: report[name] for name in page.keys() & report.keys()
        }


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_a_file_of_the_page_is_as_small_as_a_module(path: Path) -> None:
    assert path.read_bytes().count(b"\n") <= 300
