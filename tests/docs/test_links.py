"""Every link of the documents leads somewhere: to a file of the checkout, to a heading, or to a well-formed address."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documents import anchors, documents, links, tracked

DOCUMENTS = documents()


def _fault(document: Path, target: str, repository: Path, files: set[str]) -> str:
    """What is wrong with a link; "" if nothing is."""
    parts = urlsplit(target)
    if parts.scheme:
        well_formed = parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc)
        return "" if well_formed else "not an address that begins with https://"
    place = document.relative_to(repository)
    path = posixpath.normpath(posixpath.join(place.parent.as_posix(), parts.path)) if parts.path else place.as_posix()
    if path not in files:
        return f"{path} is not in the checkout"
    if parts.fragment and parts.fragment not in anchors(repository / path):
        return f"{path} has no heading #{parts.fragment}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path, repository: Path) -> None:
    files = tracked(repository)
    faults = {target: _fault(document, target, repository, files) for target in links(document)}
    assert {target: fault for target, fault in faults.items() if fault} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n\n## Two words, `code`\n\n## One\n\n[x](b.md)\n\n```\n[y](z.md)\n```\n")
    document = tmp_path / "a.md"
    assert list(links(document)) == ["b.md"]
    assert anchors(document) == {"one", "two-words-code", "one-1"}
    for target in ("b.md", "a.md#three", "#three", "http://example.org", "https://nothing", "docs/"):
        assert _fault(document, target, tmp_path, {"a.md"}), target
    for target in ("a.md#one", "#one-1", "https://example.org/x"):
        assert not _fault(document, target, tmp_path, {"a.md"}), target


def test_the_documents_have_links() -> None:
    assert sum(len(list(links(document))) for document in DOCUMENTS) > 100


def test_every_page_is_in_the_index(repository: Path) -> None:
    listed = {target for target in links(repository / "docs" / "index.md") if "/" not in target}
    assert {path.name for path in (repository / "docs").glob("*.md")} - listed == {"index.md"}


def test_the_readme_leads_to_every_page(repository: Path) -> None:
    pages = (target.partition("#")[0] for target in links(repository / "README.md"))
    listed = {page.removeprefix("docs/") for page in pages if page.startswith("docs/")}
    assert {path.name for path in (repository / "docs").glob("*.md")} == listed
