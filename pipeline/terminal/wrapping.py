"""Sentences wrapped for a terminal (standard library only)."""

from __future__ import annotations

import os
import re
import textwrap
from typing import IO

_QUOTED = re.compile(r"`[^`\n]+`")
_SPACE = "\ufdd0"  # no character: stands for a space at which a line does not end
_WIDEST = 110


def terminal_width(stream: IO[str]) -> int | None:
    """The columns of the terminal that a stream leads to; None if it leads to none, or that does not know."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None


def wrapped_for(stream: IO[str], text: str) -> str:
    """Text of several lines, each wrapped if the stream leads to a terminal."""
    width = terminal_width(stream)
    return "\n".join(wrapped(line, width) for line in text.split("\n"))


def wrapped(line: str, width: int | None) -> str:
    """A line as several of at most `width` characters, the later ones indented by 2 more than the first.

    Lines end between words. Paths and what stands in backticks, such as commands, stay whole, so that they can be
    copied; a terminal breaks them if they are longer than a line.

    Args:
        width: the terminal's; None for no terminal: the line stays as it is.
    """
    if width is None or len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    room = max(min(width, _WIDEST), len(indent) + 20)
    whole = _QUOTED.sub(lambda quoted: quoted.group().replace(" ", _SPACE), line)
    lines = textwrap.wrap(
        whole,
        room,
        initial_indent="",
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
    return "\n".join(lines).replace(_SPACE, " ")
