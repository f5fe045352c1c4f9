"""`transom completion`: lets a shell complete commands, options, steps, runs and files."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command
from pipeline.commands.completion_scripts import SCRIPTS


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "completion",
        completion,
        "let bash, zsh or fish complete what you type",
        "Prints a script for the shell: with it, the tab key completes commands, options and their values, the steps "
        "after --from and --to, the names of runs, and files.",
        """
        transom completion bash >> ~/.bashrc                          in each bash from the next on
        transom completion zsh >> ~/.zshrc                            in zsh
        transom completion fish > ~/.config/fish/completions/transom.fish   in fish
        """,
        verbose=False,
    )
    parser.add_argument("shell", choices=sorted(SCRIPTS), nargs="?", metavar="SHELL", help=", ".join(sorted(SCRIPTS)))
    # What the scripts call: the words up to the cursor, which may be options of other commands.
    parser.add_argument("--words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def completion(options: argparse.Namespace) -> int:
    if options.words is not None:
        from pipeline.commands.suggestions import suggestions

        for one in suggestions(options.whole, options.words):
            print(f"{one.word}\t{one.meaning}")
    elif options.shell is None:
        options.parser.error(f"the following arguments are required: SHELL ({', '.join(sorted(SCRIPTS))})")
    else:
        print(SCRIPTS[options.shell], end="")
    return 0
