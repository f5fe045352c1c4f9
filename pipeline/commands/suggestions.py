"""What may come next on a command line, read from the commands' own parsers (standard library only)."""

from __future__ import annotations

import argparse
import contextlib
import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.arguments import LAST, Heading, path_or_url, run_name, step_name
from pipeline.configuration.project_file import FILE_NAME
from pipeline.steps import DESCRIPTIONS

_MOST_RUNS = 50


@dataclass(frozen=True)
class Suggestion:
    """A word, and what it means; without a word: the shell shall add the names of files."""

    word: str
    meaning: str = ""


FILES = Suggestion("", "files")


def suggestions(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[Suggestion]:
    """What may stand in the place of the last word, and begins as it does.

    Args:
        parser: of the whole command line.
        words: those of the line up to the cursor, without the program; the last is "" if none has begun. bash splits
            "--from=Trainer" into three.
    """
    line = _Line(parser)
    *before, typed = [word for word in words[:-1] if word != "="] + [words[-1].removeprefix("=")] if words else [""]
    for word in before:
        line.read(word)
    name, equals, _ = typed.partition("=")
    option = line.option(name) if equals else None
    if option is not None:
        found = [Suggestion(f"{name}={one.word}", one.meaning) if one.word else one for one in line.values(option)]
        return [one for one in found if one.word.startswith(typed)]
    return [one for one in line.candidates(typed) if one.word.startswith(typed) or one == FILES]


class _Line:
    """The words of a line so far: the command that they lead to, and what it still takes."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser, self._words, self._given = parser, list[str](), 0
        self._waiting: argparse.Action | None = None
        self._used: list[argparse.Action] = []
        self._only_arguments = False
        self._lost = False  # a word that is no command stands where one must

    def option(self, name: str) -> argparse.Action | None:
        """The option of this name, if it is one and takes a value."""
        action = None if self._only_arguments else self._parser._option_string_actions.get(name)
        return action if action is not None and action.nargs != 0 else None

    def read(self, word: str) -> None:
        if self._waiting is not None:
            self._words.append(word)
            self._waiting = None
        elif word == "--":
            self._only_arguments = True
        elif word.startswith("-") and len(word) > 1 and not self._only_arguments:
            name, equals, _ = word.partition("=")
            self._used += [action for action in [self._parser._option_string_actions.get(name)] if action is not None]
            self._waiting = None if equals else self.option(name)
        else:
            action = self._argument()
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                self._parser, self._given, self._used = action.choices[word], 0, []
            else:
                self._lost = self._lost or isinstance(action, argparse._SubParsersAction)
                self._words.append(word)
                self._given += 1

    def _argument(self) -> argparse.Action | None:
        """The argument without a name that comes next; the last may take any number of words."""
        actions = self._parser._get_positional_actions()
        if self._given < len(actions):
            return actions[self._given]
        return actions[-1] if actions and actions[-1].nargs in ("*", "+") else None

    def candidates(self, typed: str) -> list[Suggestion]:
        """What may come next."""
        if self._waiting is not None:
            return self.values(self._waiting)
        if self._lost:
            return []
        action = self._argument()
        options = [] if self._only_arguments else list(self._options())
        if typed.startswith("-"):
            return options
        return self.values(action) if action is not None else options

    def _options(self) -> Iterator[Suggestion]:
        for action in self._parser._get_optional_actions():
            repeated = isinstance(action, argparse._AppendAction)
            if action.help != argparse.SUPPRESS and (repeated or action not in self._used):
                yield from (Suggestion(name, _short(action.help)) for name in action.option_strings)

    def values(self, action: argparse.Action) -> list[Suggestion]:
        """The words that an argument or an option takes."""
        if isinstance(action, argparse._SubParsersAction):
            commands = [one for one in action._choices_actions if not isinstance(one, Heading)]
            return [Suggestion(one.dest, _short(one.help)) for one in commands]
        if action.choices is not None:
            return [Suggestion(str(one)) for one in action.choices if one not in self._words]
        if action.type is step_name:
            return [Suggestion(name, meaning) for name, meaning in DESCRIPTIONS.items()]
        if action.type is run_name:
            return [Suggestion(LAST, "the last run"), *map(Suggestion, _runs()), FILES]
        return [FILES] if action.type in (Path, path_or_url) else []


def _short(text: str | None) -> str:
    """The first words of a help text."""
    return re.split(r"[;:(]|\. ", text or "")[0].strip()


def _runs() -> Iterator[str]:
    """The names of the newest runs of the project in the current folder.

    Its configuration is not checked, because that takes longer than a completion may: the folders of runs are found
    where they are by default, and below the value of `output:`.
    """
    outputs = ["*"]
    with contextlib.suppress(OSError, ValueError):
        text = Path(FILE_NAME).read_text(encoding="utf-8")
        outputs += re.findall(r"""^output: *["']?([^"'#\n]+?)["']? *(?:#.*)?$""", text, re.MULTILINE)
    files = [Path(file) for output in outputs for file in glob.glob(f"{output}/runs/*/run.json")]
    yield from sorted({file.parent.name for file in files}, reverse=True)[:_MOST_RUNS]
