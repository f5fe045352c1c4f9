"""The documentation as a site: Sphinx builds it, and for it every warning is an error."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import isolated
import pytest
from documents import tracked
from site_scripts import site_script


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A copy of what the site is made of."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in tracked(repository):
        if name.startswith("docs/") or name.endswith((".md", "pyproject.toml")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def site(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    done = site_script("build_site").build(folder, isolated.python("docs"), checkout)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_navigation(site: Path, repository: Path) -> None:
    assert 'url=docs/index.html"' in (site / "index.html").read_text(encoding="utf-8")
    index = (site / "docs" / "index.html").read_text(encoding="utf-8")
    for page in (repository / "docs").glob("*.md"):
        assert (site / "docs" / f"{page.stem}.html").is_file()
        assert f'href="{page.stem}.html"' in index or page.stem == "index"
    assert re.findall(r'class="caption-text">([^<]+)<', index)[:3] == ["Start here", "Train", "Trust"]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]+src="https?://|<link[^>]+href="https?://', text) == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?https?://|@import", style.read_text(encoding="utf-8")) == [], style


def test_a_broken_link_fails_the_build(checkout: Path, site: Path, tmp_path: Path) -> None:
    page = checkout / "docs" / "exit-codes.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n[a](nowhere.md) [b](tasks.md#nothing)\n", encoding="utf-8")
    shutil.copytree(site, tmp_path / "again")  # only the changed page is read again
    try:
        done = site_script("build_site").build(tmp_path / "again", isolated.python("docs"), checkout)
    finally:
        page.write_text(text, encoding="utf-8")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "nothing" in done.stderr
