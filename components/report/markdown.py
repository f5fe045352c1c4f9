"""Blocks as Markdown, in the dialect of GitHub and Hugging Face: tables and `<details>`.

The texts of the table are untrusted. Each character that could begin markup is escaped, so a text shows as itself.
Rows are left out, and details, which hold examples: what is written here is given away with the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from components.report.blocks import Block, Code, FactList, Paragraph, Plot, Table
from components.report.wording import ABSENT, in_one_line, visible

MOST_COLUMNS = 14
"""A wider table cannot be read as Markdown, and is left out."""
# HTML, and the addresses that GitHub's dialect makes links of.
_ENTITIES = re.compile(r"[&<>]|:(?=//)|(?<=\bwww)\.", re.I)
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_INSIDE_A_WORD = re.compile(r"(?<=\w)\\_(?=\w)")
_BLOCK = re.compile(r"^(\s*)(#|[-+=](?=\s|[-+=]*$)|\d+(?=[.)](?:\s|$)))")
_FENCE = re.compile(r"`+")


def escaped(text: str) -> str:
    """A text in one line that shows as itself, wherever it stands."""
    line = _ENTITIES.sub(lambda found: f"&#{ord(found[0])};", in_one_line(text))
    line = _INSIDE_A_WORD.sub("_", _MARKUP.sub(r"\\\g<0>", line))
    begin = _BLOCK.match(line)
    if begin is None:
        return line
    # A backslash escapes punctuation only: "1." needs it behind the number.
    place = begin.end() if begin[2].isdigit() else begin.start(2)
    return f"{line[:place]}\\{line[place:]}"


def fenced(text: str, language: str = "") -> str:
    """A code block, whatever the text holds."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def blocks_as_markdown(blocks: Iterable[Block]) -> Iterator[str]:
    """The Markdown of each block that has any; a plot is told in words."""
    blocks = list(blocks)
    said = {block.text for block in blocks if isinstance(block, Paragraph)}
    for block in blocks:
        if isinstance(block, Paragraph):
            if not block.for_owner:
                yield escaped(block.text)
        elif isinstance(block, Plot) and block.description not in said:
            yield escaped(f"{block.caption}: {block.description[:1].lower()}{block.description[1:]}")
        elif isinstance(block, FactList):
            yield bullets(block.facts)
        elif isinstance(block, Code):
            yield fenced(block.text)
        elif isinstance(block, Table):
            yield _table(block)


def bullets(facts: Iterable[tuple[str, str]]) -> str:
    """Terms and their values as a list."""
    return "\n".join(f"- {escaped(term)}: {escaped(value)}" for term, value in facts)


def _table(table: Table) -> str:
    if len(table.headings) > MOST_COLUMNS:
        return f"{escaped(table.caption)}: {len(table.headings)} columns are too many for this page."
    rows = [[cell.text for cell in row] for row in table.cells]
    rules = ["---", *("---:" if table.numeric else "---" for _ in table.headings[1:])]
    lines = [_line(table.headings), _joined(rules), *map(_line, rows)]
    return f"{escaped(table.caption)}:\n\n" + "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return _joined([escaped(cell) or ABSENT for cell in cells])


def _joined(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
