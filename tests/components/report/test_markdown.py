"""Blocks as Markdown: whatever a text holds, it shows as itself."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from components.report.blocks import Cell, Details, Paragraph, Plot, RowCard, Table
from components.report.markdown import MOST_COLUMNS, blocks_as_markdown, bullets, escaped, fenced

MARKUP = "#-+=*_`~|[]()<>&!\\1.) $:\n\t/aé"
HOSTILE = [
    "# heading",
    "- item",
    "1. item",
    "2) item",
    "=====",
    "---",
    "> quote",
    "a | b",
    "[text](http://example.com)",
    "![image](x.png)",
    "<script>alert(1)</script>",
    "&lt; &amp;",
    "**bold** __bold__ *i* _i_ ~~gone~~",
    "`code` ``` fence",
    "$x$ and \\( y \\)",
    "ends with a backslash \\",
    "    indented\n\nanother paragraph",
    "macro_f1 and evaluation.min_slice_size",
]


class _Text(HTMLParser):
    """Tags and text of HTML."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_in_a_text_is_text(text: str) -> None:
    shown, plain = _Text(escaped(text)), " ".join(text.split())
    assert (shown.tags, shown.text.strip()) == (["p"], plain)
    item = _Text(bullets([(text, text)]))
    assert (item.tags, item.text.strip()) == (["ul", "li"], f"{plain}: {plain}")


@given(st.text(MARKUP, min_size=1))
def test_any_text_shows_as_itself(text: str) -> None:
    plain = " ".join(text.split())
    if plain:
        shown = _Text(escaped(text))
        assert (shown.tags, shown.text.strip()) == (["p"], plain)


@given(st.lists(st.text(MARKUP), min_size=4, max_size=4))
def test_a_table_keeps_its_cells_whatever_they_hold(texts: list[str]) -> None:
    table = Table("a caption", ["first", "second"], [texts[:2], [Cell(text, 0.5) for text in texts[2:]]])
    shown = _Text("\n\n".join(blocks_as_markdown([table])))
    assert shown.tags == ["p", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "tr", "td", "td"]
    cells = [" ".join(text.split()) or "–" for text in texts]
    assert [line for line in shown.text.split("\n") if line][-4:] == cells


@given(st.text(MARKUP))
def test_no_text_ends_its_code_block(text: str) -> None:
    shown = _Text(fenced(text) + "\n\nafter")
    assert shown.tags == ["pre", "code", "p"]


def test_rows_and_examples_stay_where_they_are() -> None:
    secret = Paragraph("a row of somebody")
    blocks = [RowCard("", ["a row of somebody"], "a", "b"), Details("Examples", [secret])]
    assert list(blocks_as_markdown(blocks)) == []


def test_a_plot_is_told_in_words_once() -> None:
    plot = Plot(lambda: pytest.fail("nobody looks at it"), "The loss", "From 2 to 1.")
    assert list(blocks_as_markdown([plot])) == ["The loss: from 2 to 1."]
    assert list(blocks_as_markdown([plot, Paragraph("From 2 to 1.")])) == ["From 2 to 1."]


def test_a_table_that_nobody_could_read_is_only_mentioned() -> None:
    wide = Table("wide", ["x"] * (MOST_COLUMNS + 1), [])
    assert list(blocks_as_markdown([wide])) == [f"wide: {MOST_COLUMNS + 1} columns are too many for this page."]


@pytest.mark.parametrize("text", ["see https://example.com/a", "ftp://a", "WWW.example.com", "a:b, 12:30"])
def test_an_address_is_no_link(text: str) -> None:
    """GitHub's dialect makes links of such texts; the renderer of this test does not."""
    assert "://" not in escaped(text)
    assert "www." not in escaped(text).lower()
    assert _Text(escaped(text)).text.strip() == text


def test_advice_for_the_owner_is_for_the_owner() -> None:
    assert list(blocks_as_markdown([Paragraph("a"), Paragraph("b", for_owner=True)])) == ["a"]
