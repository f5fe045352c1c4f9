"""What the arguments of several commands share; standard library alone."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]

Run = Callable[[argparse.Namespace], int]

_WIDEST = 110


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal, but no wider than can be read; indented lines, as of examples, stay as they are."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns - 2, _WIDEST)
        super().__init__(prog, width=width, max_help_position=28)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        told = (line if line.startswith(" ") else textwrap.fill(line, width) for line in text.splitlines())
        return "\n".join(f"{indent}{line}" for line in told)


class Parser(argparse.ArgumentParser):
    """A parser that says which option was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Help, "allow_abbrev": False, **options})

    def refuse(self, rest: list[str]) -> NoReturn:
        """Ends the process (exit code 2) over arguments that the command does not take."""
        told = f"unrecognized arguments: {' '.join(rest)}"
        options = [name for action in self._actions for name in action.option_strings]
        close = [
            difflib.get_close_matches(one.partition("=")[0], options, 1, 0.7) for one in rest if one.startswith("-")
        ]
        if any(close):
            told += f" (did you mean {', '.join(found[0] for found in close if found)}?)"
        self.error(told)

    def error(self, message: str) -> NoReturn:
        """Ends the process (exit code 2) over arguments that are wrong; the help has more than the usage."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n`{self.prog} --help` says more\n")


def add_command(commands: Commands, name: str, function: Run, summary: str, description: str, examples: str) -> Parser:
    """A parser for one command.

    Args:
        summary: a few words, for the list of commands.
        description: paragraphs, a line each.
        examples: a command line each, with what it does.
    """
    epilog = "examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(command=function, parser=parser)
    return parser


def add_group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that has commands of its own."""
    group = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"`transom {name} COMMAND --help` explains each, with examples.",
    )
    return group.add_subparsers(title="commands", required=True, metavar="COMMAND")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The project's configuration, and keys that override it; `pipeline.configuration.project_file` finds it."""
    parser.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="YAML",
        help="the project's configuration, or its folder (default: transom.yaml in the current folder)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='override a key: train.epochs=3. A key that holds a text takes VALUE as it is written ("output=runs #1"); '
        "others take what would stand in the file: 3, true, [a, b], {min: 0.9}. null: the default. "
        "May be given several times",
    )


def add_texts(parser: argparse.ArgumentParser) -> None:
    """What a model is asked, and how it shall be printed; see `pipeline.predict.text_predictions`."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    parser.add_argument("--pair", action="append", default=[], metavar="TEXT", help="the second text of each TEXT")
    add_file(parser, "a table (CSV, TSV, JSON Lines, Parquet), or texts, one a line (for pairs: text, tab, other text)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, probabilities included")


def add_file(parser: argparse.ArgumentParser, meaning: str) -> None:
    """A file with texts; see `pipeline.predict.input_texts`."""
    parser.add_argument("--file", type=Path, help=meaning)
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME",
        help="the table's column with the texts, for pairs twice (default: those on which the model was trained)",
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """-v."""
    # No default: `transom -v run` and `transom run -v` are the same, and the inner one must not undo the outer.
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show what libraries print, and tracebacks",
    )
