"""Arguments that several commands share. Standard library only at import."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from pipeline.terminal.wrapping import wrapped_for

if TYPE_CHECKING:
    from pipeline.paths import Paths

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

Run = Callable[[argparse.Namespace], int]

LAST = "last"
"""Stands for the last run."""
_WIDEST = 110


class Heading(argparse.Action):
    """A line above some of the commands in the help."""

    def __init__(self, title: str) -> None:
        super().__init__([], dest=argparse.SUPPRESS, metavar=title)

    def __call__(self, *_: object) -> None:
        """Does nothing: no word of a command line is a heading."""


class Help(argparse.HelpFormatter):
    """Help text as wide as the terminal, up to a readable width. Indented lines, such as examples, are not wrapped."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns - 2, _WIDEST)
        super().__init__(prog, width=width, max_help_position=28)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += 2  # by which the commands are indented: argparse forgets it

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        # Without the line "COMMAND" that argparse puts above the commands.
        lines = map(self._format_action, self._iter_indented_subactions(action))
        return self._join_parts(list(lines))

    def _iter_indented_subactions(self, action: argparse.Action) -> Generator[argparse.Action, None, None]:
        if not isinstance(action, argparse._SubParsersAction):
            yield from super()._iter_indented_subactions(action)
            return
        for one in action._choices_actions:
            if isinstance(one, Heading):
                yield one
            else:
                self._indent()
                yield one
                self._dedent()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (line if line.startswith(" ") else textwrap.fill(line, width) for line in text.splitlines())
        return "\n".join(f"{indent}{line}" for line in lines)


class Parser(argparse.ArgumentParser):
    """A parser that suggests the option that was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Help, "allow_abbrev": False, **options})

    def refuse_unknown(self, unknown: list[str]) -> NoReturn:
        """Ends the process (exit code 2) with an error about arguments that the command does not take."""
        message = f"unrecognized arguments: {' '.join(unknown)}"
        options = [name for action in self._actions for name in action.option_strings]
        flags = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")]
        close = [name for flag in flags for name in difflib.get_close_matches(flag, options, 1, 0.7)]
        if close:
            message += f" (did you mean {', '.join(close)}?)"
        self.error(message)

    def error(self, message: str) -> NoReturn:
        """Ends the process (exit code 2) with the usage and an error."""
        self.print_usage(sys.stderr)
        self.exit(2, wrapped_for(sys.stderr, f"{self.prog}: {message}\n`{self.prog} --help` explains more\n"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does, but for a command with the one that was probably meant instead of all."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            close = difflib.get_close_matches(str(value), action.choices, 3)
            meant = f"did you mean {', '.join(close)}?" if close else f"one of {', '.join(action.choices)}"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r} ({meant})")
        super()._check_value(action, value)


def add_command(
    commands: Commands,
    name: str,
    function: Run,
    summary: str,
    description: str,
    examples: str,
    verbose: bool | str = True,
) -> Parser:
    """A parser for one command, with the option -v unless `verbose` is unset.

    Args:
        summary: a few words, for the list of commands.
        description: one paragraph per line.
        examples: one command per line, followed by what it does.
        verbose: a text says what -v shows, if not the output of libraries.
    """
    epilog = "examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(command=function, parser=parser)
    if verbose:
        add_verbose(parser, *([verbose] if isinstance(verbose, str) else []))
    return parser


def add_heading(commands: Commands, title: str) -> None:
    """A heading for the commands that are added next."""
    commands._choices_actions.append(Heading(title))


def add_group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that has subcommands."""
    group = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"`transom {name} COMMAND --help` explains each, with examples.",
    )
    return group.add_subparsers(title="commands", required=True, metavar="COMMAND")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The project's configuration file and the keys that override it."""
    parser.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="YAML",
        help="the project's configuration, or its folder (default: transom.yaml in the current folder)",
    )
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    """Keys that override the project's configuration."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='override a key: train.epochs=3. A text key takes VALUE exactly as written ("output=runs #1"); '
        "others take a value as in the file: 3, true, [a, b], {min: 0.9}. null: the default. "
        "May be given several times",
    )


def add_run(parser: argparse.ArgumentParser, *names: str) -> None:
    """Runs of a project, see `pipeline.reports.run_choice`, and the project that they belong to.

    Args:
        names: of the arguments, if there are several, which are all required.
    """
    meaning = 'name of a run, or the beginning of it, or "last", or its folder'
    if names:
        for name in names:
            parser.add_argument(name, type=run_name, metavar=name.upper(), help=meaning)
    else:
        parser.add_argument(
            "run", type=run_name, nargs="?", default=LAST, metavar="RUN", help=f"{meaning} (default: the last)"
        )
    add_project(parser)


def add_project(parser: argparse.ArgumentParser) -> None:
    """The project that runs belong to."""
    parser.add_argument(
        "--project",
        type=Path,
        metavar="YAML",
        help="the project's configuration, or its folder (default: transom.yaml in the current folder)",
    )


def project_paths(options: argparse.Namespace) -> Paths:
    """The paths of the project that the arguments of `add_config` name.

    Raises:
        ConfigError: there is no such file, or it is not a configuration.
    """
    from pipeline.configuration.loading import load
    from pipeline.configuration.project_file import find_project_file
    from pipeline.paths import Paths

    file = find_project_file(options.config)
    return Paths.from_config(load(file, options.set), file)


def path_or_url(text: str) -> str:
    """An argument that names a file or folder, or an address."""
    return text


def run_name(text: str) -> str:
    """An argument that names a run."""
    return text


def step_name(text: str) -> str:
    """An argument that names a step."""
    return text


def positive_number(text: str) -> int:
    """An argument that counts something, from 1."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return number


def add_texts(parser: argparse.ArgumentParser) -> None:
    """The texts to send to a model, and how to print its predictions; see `pipeline.predict.text_predictions`."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    parser.add_argument("--pair", action="append", default=[], metavar="TEXT", help="the second text of each TEXT")
    add_file(parser, "a table (CSV, TSV, JSON Lines, Parquet), or one text per line (for pairs: text, tab, other text)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, with probabilities")


def add_file(parser: argparse.ArgumentParser, meaning: str) -> None:
    """A file with texts; see `pipeline.predict.input_texts`."""
    parser.add_argument("--file", type=Path, help=meaning)
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME",
        help="the table's column with the texts, twice for pairs (default: the columns the model was trained on)",
    )


def add_verbose(parser: argparse.ArgumentParser, shown: str = "show what libraries print, and tracebacks") -> None:
    # No default: a subcommand's default would overwrite the -v of `transom -v run`.
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help=shown,
    )
