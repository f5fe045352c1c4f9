"""`transom backends` and `transom compare-backends`: the frameworks that train beside TensorFlow."""

from __future__ import annotations

import argparse

from models.training.elsewhere.environments import COSTS, FRAMEWORKS
from pipeline.commands.arguments import Commands, add_command, add_config

_FEWEST_STEPS, _MOST_STEPS = 5, 10_000

_LISTS = (
    "Prints the frameworks that can train: the version, whether it is installed, its size on disk and where it is. "
    "TensorFlow is always there, since it exports and serves every model; JAX and PyTorch have environments of their "
    "own, with their own NumPy, in transom/backends of your cache ($XDG_CACHE_HOME or ~/.cache) or in the folder that "
    "TRANSOM_BACKENDS names."
)


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "backends",
        list_backends,
        "list, install and remove JAX and PyTorch for training",
        f"{_LISTS}\n"
        "To train with your own build of one, for example for your GPU, name its interpreter in TRANSOM_JAX_PYTHON or "
        "TRANSOM_TORCH_PYTHON: docs/backends.md.",
        """
        transom backends                               what is installed, and where
        transom backends install jax                   makes an environment with JAX
        transom backends remove jax                    removes it
        """,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line and framework")
    steps = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_list(steps)
    _add_install(steps)
    _add_remove(steps)
    _add_comparison(commands)


def _add_comparison(commands: Commands) -> None:
    parser = add_command(
        commands,
        "compare-backends",
        compare,
        "train some rows on each framework, say which to pick",
        "Prepares the project's rows (the steps up to Transform, unless they are done), then trains its model "
        "for some steps on TensorFlow and on each framework that `transom backends` shows as installed, one after the "
        "other. Prints useful tokens per second, the time to start and to the end of the first step (mostly "
        "compilation), peak memory, the eval loss after the steps, and an estimate for the project's training; says "
        "which framework to pick, and what it costs to install the others. The result is also in backends.json in "
        "the project's output folder. Nothing else should run meanwhile.\n"
        "It counts as a run that ended at Transform: give the next `transom run` no --from.",
        """
        transom compare-backends                       the transom.yaml of the current folder
        transom compare-backends reviews/ --steps 100  longer, for a model that is small
        transom compare-backends --json | tail -1      the figures for a program
        """,
    )
    add_config(parser)
    parser.add_argument("--steps", type=_steps, default=30, metavar="N", help="optimizer steps of each (default: 30)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line; the last has the figures")


def _steps(text: str) -> int:
    """A number of steps that leaves some to be timed: the first ones compile."""
    steps = int(text) if text.isascii() and text.isdigit() else 0
    if not _FEWEST_STEPS <= steps <= _MOST_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from {_FEWEST_STEPS} to {_MOST_STEPS:,}")
    return steps


def _add_list(steps: Commands) -> None:
    parser = add_command(
        steps,
        "list",
        list_backends,
        "list the frameworks, like `transom backends` alone",
        _LISTS,
        """
        transom backends list
        transom backends list --json | jq -r 'select(.installed).framework'
        """,
    )
    # No default: it would overwrite the --json of `transom backends --json list`.
    help_text = "one JSON object per line and framework"
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=help_text)


def _add_install(steps: Commands) -> None:
    costs = "; ".join(f"{framework} takes {cost}" for framework, cost in COSTS.items())
    parser = add_command(
        steps,
        "install",
        install,
        "make the environment of a framework",
        "Makes a virtual environment with this Python, and installs the packages of Transom's lock for the framework, "
        "each checked against its hash: by uv if it is on the path, else by pip, with their settings for indexes and "
        "proxies. Then checks that Keras works there. One that is installed already is left alone, and an "
        "interrupted installation starts again.\n"
        f"On Linux (x86-64) {costs}.",
        """
        transom backends install jax
        transom backends install jax torch             both
        TRANSOM_BACKENDS=/opt/backends transom backends install jax
        """,
    )
    parser.add_argument("frameworks", nargs="+", choices=FRAMEWORKS, help="what to install")


def _add_remove(steps: Commands) -> None:
    parser = add_command(
        steps,
        "remove",
        remove,
        "remove the environments of a framework",
        "Removes the environment of a framework, and those that other versions of Transom have made. A training that "
        "is running in one of them fails.",
        """
        transom backends remove torch
        transom backends remove jax --former           keeps the one that this version of Transom uses
        """,
    )
    parser.add_argument("frameworks", nargs="+", choices=FRAMEWORKS, help="what to remove")
    parser.add_argument("--former", action="store_true", help="only the environments of other versions of Transom")


def list_backends(options: argparse.Namespace) -> int:
    from pipeline.backends.backend_list import print_backends

    print_backends(as_json=options.json)
    return 0


def compare(options: argparse.Namespace) -> int:
    from pipeline.comparison.backend_comparison import compare
    from pipeline.configuration.project_file import find_project_file

    return compare(
        find_project_file(options.config),
        options.set,
        steps=options.steps,
        as_json=options.json,
        verbose=options.verbose,
    )


def install(options: argparse.Namespace) -> int:
    from pipeline.backends.installation import install

    for framework in options.frameworks:
        install(framework, _say, verbose=options.verbose)
    return 0


def remove(options: argparse.Namespace) -> int:
    from pipeline.backends.installation import remove

    for framework in options.frameworks:
        remove(framework, _say, former_only=options.former)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
