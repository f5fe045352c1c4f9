"""What the arguments of several commands share; standard library alone."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Run = Callable[[argparse.Namespace], int]


def add_command(
    commands: Commands, name: str, function: Run, summary: str, description: str
) -> argparse.ArgumentParser:
    """A parser for one command, its description wrapped."""
    wrapped = "\n".join(textwrap.wrap(description, 100))
    parser = commands.add_parser(
        name, help=summary, description=wrapped, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command=function)
    return parser


def add_group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that has commands of its own."""
    group = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    return group.add_subparsers(title="commands", required=True, metavar="COMMAND")


def add_texts(parser: argparse.ArgumentParser) -> None:
    """What a model is asked, and how it shall be printed; see `pipeline.predict`."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    parser.add_argument("--pair", action="append", default=[], metavar="TEXT", help="the second text of each TEXT")
    parser.add_argument("--file", type=Path, help="texts, one a line (for pairs: text, tab, other text)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, probabilities included")


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """-v."""
    parser.add_argument("-v", "--verbose", action="store_true", help="show what libraries print, and tracebacks")
