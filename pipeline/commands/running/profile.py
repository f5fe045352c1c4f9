"""`transom profile`: where the time of a project's training goes."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command, add_config, positive_number


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "profile",
        profile,
        "say where the time of the training goes",
        "Runs the steps up to Transform, as `transom run --to Transform` does, and then some steps of the training, "
        "compiled as in a run. Prints the time of a step and its parts, tokens and operations per second, memory, and "
        "what follows from them; writes a profile that TensorBoard's profiler shows into the project's output folder "
        "(profiles/TIME). Nothing else of the project is changed: no model, no checkpoint.",
        """
        transom profile                                the transom.yaml of the current folder
        transom profile reviews/ --set train.xla=true  with one key changed, to compare
        transom profile --steps 100                    longer, where steps differ
        transom profile --json | tail -1 | jq .parts   seconds of each part of a step, for a program
        """,
    )
    add_config(parser)
    parser.add_argument(
        "--steps", type=positive_number, default=20, metavar="N", help="how many to time (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line: steps, then the profile")


def profile(options: argparse.Namespace) -> int:
    from pipeline.configuration.project_file import find_project_file
    from pipeline.inspection.profile_run import run_profile

    return run_profile(
        find_project_file(options.config),
        options.set,
        steps=options.steps,
        as_json=options.json,
        verbose=options.verbose,
    )
