"""`transom runs`: lists the runs of a project."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.arguments import Commands, add_command, add_config, project_paths


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "runs",
        runs,
        "list the runs of a project and their outcomes",
        "Prints a line per run, oldest first: when it began, how long it took, how it ended and its metrics; below it "
        "the verdict, or where, when and why it stopped; and where its model is.\n"
        "How a run ended: pushed; not blessed (measured, and not good enough); finished (--to ended it before the "
        "push); failed (a step stopped it: bad data, wrong settings, a full disk); interrupted (Ctrl-C, or its "
        "process was killed); running.",
        """
        transom runs                                   of the transom.yaml of the current folder
        transom runs reviews/                          of another project
        transom runs --json | tail -1 | jq .verdict    the last run's whole record is one JSON object
        """,
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line: whole records")


def runs(options: argparse.Namespace) -> int:
    from pipeline.runs.run_tables import print_runs

    print_runs(project_paths(options), sys.stdout, as_json=options.json)
    return 0
