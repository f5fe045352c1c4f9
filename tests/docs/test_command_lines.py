"""Every command in the documents exists, is taken by its parser, and is run by the walkthrough or says why not."""

from __future__ import annotations

import argparse
import functools
import re
import shlex
from pathlib import Path

import pytest
from command_lines import NOT_RUN, all_lines, inline_commands, why_not_run

from pipeline.cli import _parse, _parser

LINES = all_lines()


def _arguments(line: str) -> list[str]:
    """The arguments of `transom` in a line, without what the shell does with its output."""
    return shlex.split(re.split(r" \| | >>? ", line.partition("transom ")[2])[0])


@pytest.mark.parametrize("line", [line for line in LINES if re.match(r"([A-Z_]+=\S+ )*(RUN .*)?transom ", line)])
def test_a_command_line_is_taken(line: str) -> None:
    try:
        _parse(_arguments(line))
    except SystemExit:
        pytest.fail(f"{LINES[line]}: {line}")


def test_a_command_in_a_sentence_exists() -> None:
    """Its name, and its options; arguments may be left out there."""
    found = list(inline_commands())
    assert len(found) > 40
    for document, command in found:
        parser, words = _parser_of(re.split(r" \| ", command)[0].split()[1:])
        options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        unknown = [option for option in options if option not in parser._option_string_actions]
        served = parser.prog == "transom serve"  # which passes on the server's flags
        assert served or not unknown, f"{document}: {command}"


_root = functools.cache(_parser)


def _parser_of(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of a command, and the words that follow the command's name."""
    parser: argparse.ArgumentParser = _root()
    while words and not words[0].startswith("-") and words[0] != "COMMAND":
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not groups or (words[0] not in groups[0].choices and parser.prog != "transom"):
            break
        assert words[0] in groups[0].choices, f"no command {words[0]}"
        parser, words = groups[0].choices[words[0]], words[1:]
    return parser, words


def test_every_reason_is_still_needed() -> None:
    assert {start for start in NOT_RUN if not any(re.match(start, line) for line in LINES)} == set()


def test_what_is_not_of_transom_has_a_reason() -> None:
    """So that a new kind of command is noticed. `curl` is run while the model is served."""
    assert [line for line in LINES if not why_not_run(line) and not re.match("transom |curl http", line)] == []


def test_every_recipe_and_script_exists(repository: Path) -> None:
    recipes = set(re.findall(r"^([\w-]+):", (repository / "Makefile").read_text(encoding="utf-8"), re.M))
    for line in LINES:
        if line.startswith("make "):
            assert line.split()[1] in recipes, line
        if line.startswith("python benchmarks/"):
            assert (repository / line.split()[1]).is_file(), line


def test_the_readme_needs_at_most_ten_commands(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    block = text.partition("## Your own data")[2].partition("```bash\n")[2].partition("```")[0]
    commands = [line for line in block.splitlines() if line.strip()]
    assert commands[0].startswith("git clone")
    assert commands[-1].startswith("curl")
    assert len(commands) <= 10
