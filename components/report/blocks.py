"""What a section of the report consists of. `templates/page.html` turns each kind into HTML, and escapes all texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: shown.
        share: 0 to 1, shown as a bar behind the text, or None.
        tone: "good", "bad", "heat" (the darker, the larger the share) or "".
    """

    text: str
    share: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two.

    Attributes:
        text: shown.
        tone: "", "good", "bad" or "note" (what is missing, and why).
        for_owner: it advises those who train the model, or sends them to a file of theirs: not for its card.
    """

    text: str
    tone: str = ""
    for_owner: bool = False
    kind: str = "paragraph"


@dataclass(frozen=True)
class FactList:
    """Terms and their values."""

    facts: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows.

    Attributes:
        caption: what it shows.
        headings: of the columns.
        rows: cells, or texts.
        numeric: whether all columns but the first are numbers, aligned to the right.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    numeric: bool = True
    kind: str = "table"

    @property
    def cells(self) -> list[list[Cell]]:
        """All cells as `Cell`."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        draw: makes the SVG, with `charts`, which puts no text of the user's into it.
        caption: what it shows.
        description: what can be read off it, for who cannot see it.
        narrow: whether it is as high as it is wide.
    """

    draw: Callable[[], str]
    caption: str
    description: str
    narrow: bool = False
    kind: str = "plot"

    @property
    def svg(self) -> str:
        """Drawn now: a reader of the words alone need not wait for it."""
        return self.draw()


@dataclass(frozen=True)
class Token:
    """A word of a text, and how much it speaks for the model's answer: -1 (against) to 1 (for)."""

    text: str
    weight: float


@dataclass(frozen=True)
class RowCard:
    """A row that the model gets wrong, or whose label is suspect.

    Attributes:
        heading: which row it is.
        texts: one, or two.
        given, answer: the row's label or number, and the model's.
        facts: further terms and values.
        remark: who is at fault.
        tokens: of each text, if the words were weighed; else empty.
    """

    heading: str
    texts: Sequence[str]
    given: str
    answer: str
    facts: Sequence[tuple[str, str]] = ()
    remark: str = ""
    tokens: Sequence[Sequence[Token]] = ()
    kind: str = "row"


@dataclass(frozen=True)
class Code:
    """A text to copy, each of its characters as it is."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Details:
    """Blocks that are shown on demand."""

    summary: str
    blocks: Sequence[Any]
    kind: str = "details"


Block = Paragraph | FactList | Table | Plot | RowCard | Code | Details


@dataclass(frozen=True)
class Section:
    """A part of the page: `name` is its anchor; `question` is what it answers."""

    name: str
    title: str
    question: str
    blocks: list[Block] = field(default_factory=list)
