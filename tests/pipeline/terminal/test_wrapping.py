"""Sentences on a terminal: lines end between words, and what is copied stays whole."""

from __future__ import annotations

import pytest

from pipeline.terminal.wrapping import wrapped

WORDS = "    a word and " * 30


@pytest.mark.parametrize("width", [20, 40, 80, 160, 300])
def test_lines_fit_and_lose_nothing(width: int) -> None:
    lines = wrapped(WORDS, width).splitlines()
    assert " ".join(WORDS.split()) == " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= max(width, 24)
    assert lines[0].startswith("    a")
    assert all(line.startswith("      ") and line[6] != " " for line in lines[1:])


def test_without_a_terminal_a_line_is_a_line() -> None:
    assert wrapped(WORDS, None) == WORDS


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert wrapped("  two  spaces ", 80) == "  two  spaces "


@pytest.mark.parametrize("whole", ["/a/very/long-path/" * 8, "`transom run --set a=b --from Trainer --to Pusher`"])
def test_what_is_copied_stays_whole(whole: str) -> None:
    lines = wrapped(f"to fix: some words before {whole} and some after it", 40).splitlines()
    assert any(whole in line for line in lines)
    assert len(lines) > 1
