"""The comparison of two runs for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from components.report.blocks import Block, Paragraph, RowCard, Table
from components.report.wording import in_one_line
from pipeline.reports import comparison_page
from pipeline.reports.run_comparison import RunComparison
from pipeline.reports.run_tables import new_table
from pipeline.terminal.console import PlainConsole

_MOST_ROWS = 5


def print_comparison(found: RunComparison, stream: TextIO) -> None:
    """Prints the verdict, what differs, and the first of the rows that changed."""
    console = PlainConsole(stream)
    console.say(f"{found.before.name} before, {found.after.name} after")
    for part in (comparison_page.settings(found), comparison_page.data(found), comparison_page.metrics(found)):
        _print_blocks(part, console)
    for fixed, title in ((True, "became right"), (False, "became wrong")):
        cards = [block for block in comparison_page.rows(found, fixed=fixed) if isinstance(block, RowCard)]
        if cards:
            console.say(f"\n{title}:")
        for card in cards[:_MOST_ROWS]:
            before = card.facts[0][1]
            console.say(f"  {card.given}: {before} before, {card.answer} after")
            for text in card.texts:
                console.say(f"    {in_one_line(text[:160])}")
    console.say(f"\n{comparison_page.verdict(found)}")


def _print_blocks(blocks: Iterable[Block], console: PlainConsole) -> None:
    for block in blocks:
        if isinstance(block, Table):
            table = new_table(*block.headings, left=tuple(block.headings) if not block.numeric else ())
            for row in block.cells:
                table.add_row(*(cell.text for cell in row))
            console.say(f"\n{block.caption}")
            console.print(table)
        elif isinstance(block, Paragraph):
            console.say(block.text)
