"""docs/commands.md, from the parsers of the command line: `make docs` writes it, `make check` compares it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator

os.environ["COLUMNS"] = "100"  # the width of the usages, on every terminal

_HEAD = """\
# Commands

Written from the command line's own parsers; `transom COMMAND --help` prints the same. `-v` or `--verbose`, which most
commands take, shows what libraries print, and tracebacks. The exit codes are on [a page of their own](exit-codes.md).
"""


def page(parser: argparse.ArgumentParser) -> str:
    """The page: a section for each command, in the order of `transom --help`."""
    found = list(commands(parser))
    listed = [f"| [`{each.prog}`](#{each.prog.replace(' ', '-')}) | {summary} |" for each, summary in found]
    table = "\n".join(["| command | what it does |", "|---|---|", *listed])
    return "\n".join([_HEAD, table, *(f"\n{_section(each)}" for each, _ in found)]) + "\n"


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The parsers of all commands, with the line that lists each; of a group that only has commands, those alone."""
    for group in (action for action in parser._actions if isinstance(action, argparse._SubParsersAction)):
        for choice in group._choices_actions:
            if choice.dest not in group.choices:  # a heading
                continue
            each = group.choices[choice.dest]
            if "examples:" in (each.epilog or ""):
                yield each, choice.help or ""
            yield from commands(each)


def _section(parser: argparse.ArgumentParser) -> str:
    parts = [f"## {parser.prog}", _fenced(" ".join(parser.format_usage().removeprefix("usage: ").split()))]
    parts += _description(parser.description or "")
    rows = list(_arguments(parser))
    if rows:
        parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]))
    examples = (parser.epilog or "").partition("examples:\n")[2]
    parts.append("\n".join(["```", *map(_example, examples.splitlines()), "```"]))
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def _description(text: str) -> Iterator[str]:
    """Paragraphs; indented lines, such as a table of the steps, stay as they are."""
    for indented, lines in _runs_of_lines(text.splitlines()):
        if indented:
            yield _fenced("\n".join(line.removeprefix("  ") for line in lines))
        else:
            yield from (_escaped(line) for line in lines)


def _runs_of_lines(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    kept = [line for line in lines if line.strip()]
    while kept:
        indented = kept[0].startswith(" ")
        end = next((number for number, line in enumerate(kept) if line.startswith(" ") != indented), len(kept))
        yield indented, kept[:end]
        kept = kept[end:]


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        hidden = action.dest in ("help", "verbose") or action.help == argparse.SUPPRESS
        if hidden or isinstance(action, argparse._SubParsersAction):
            continue
        names = [f"`{name}`" for name in action.option_strings]
        value = (
            ""
            if action.nargs == 0
            else formatter._format_args(
                action,
                formatter._get_default_metavar_for_optional(action)
                if names
                else formatter._get_default_metavar_for_positional(action),
            )
        )
        shown = ", ".join(names)[:-1] + f" {value}`" if names and value else ", ".join(names) or f"`{value}`"
        meaning = formatter._expand_help(action)
        yield f"| {shown.replace('|', '&#124;')} | {_escaped(' '.join(meaning.split()))} |"


def _escaped(text: str) -> str:
    """What Markdown would read as markup. Text in backquotes stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[|])", r"\\\1", part) for part in parts)


def _example(line: str) -> str:
    """`command    # what it does`, as a shell reads it."""
    command, space, meaning = re.match(r"(.*?)(?:(\s{2,})(\S.*))?$", line.strip()).groups()  # type: ignore[union-attr]
    return f"{command}{space}# {meaning}" if meaning else command


if __name__ == "__main__":
    from pipeline.cli import _parser

    sys.stdout.write(page(_parser()))
