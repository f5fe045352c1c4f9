"""The line of a running step on a terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text


def live_line(step: str, seconds: float, note: str, width: int, place: str = "") -> Text:
    """The current step in one line of at most `width` columns; the last parts of its note are dropped first.

    Args:
        place: which of the steps it is: "9 of 15".
    """
    after = f"   {place}   " if place else "   "
    columns, short = f"{step:<18}{seconds:8.1f} s{after}", f"{step} {seconds:.0f} s{after}"
    parts = note.split(", ") if note else []
    for middle, count in ((columns, len(parts)), *((short, count) for count in range(len(parts), 0, -1))):
        shown = ", ".join(parts[:count])
        if cell_len(f"  … {middle}{shown}".rstrip()) <= width:
            return Text.assemble(("  … ", "yellow"), middle, shown)
    bare = Text(f"  … {short}".rstrip(), no_wrap=True)
    bare.truncate(width, overflow="ellipsis")
    return bare
