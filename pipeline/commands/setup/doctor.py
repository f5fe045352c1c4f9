"""`transom doctor`: examines the machine, the installation and the project."""

from __future__ import annotations

import argparse
import re
import sys

from pipeline.commands.arguments import Commands, add_command, add_config
from serving.publish.operations import TARGET


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "doctor",
        doctor,
        "examine the machine, the installation and the project",
        "Examines what a run, a server and a cluster need, and prints a line for each finding, with a remedy where "
        "something is wrong. It changes nothing.\n"
        "The machine: system, glibc, processor, memory, disk, file systems, locks. The installation: Python, the "
        "packages against the lock, their files. The project: its configuration and what `transom run` checks first, "
        "the records of its runs, what is pushed, the ports, and what would not run on Kubeflow. The accelerators: "
        "which GPUs and TPUs each framework sees, asked in child processes, and what `auto` means here.\n"
        "Without a transom.yaml only the machine and the installation are examined. The exit code is 1 if there is an "
        "error, otherwise 0.",
        """
        transom doctor                                 the machine, and the transom.yaml of the current folder
        transom doctor reviews/ --tf-serving 2.21      another project, to be served by TF Serving 2.21
        transom doctor --strict                        in CI: a package that is not the lock's fails, too
        transom doctor --json > doctor.jsonl           for a bug report
        """,
    )
    add_config(parser)
    parser.add_argument(
        "--tf-serving",
        type=_version,
        default=TARGET,
        metavar="VERSION",
        help="the version of TF Serving whose operations the newest pushed model must keep to (default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 for a warning, too")
    parser.add_argument("--json", action="store_true", help="one JSON object per finding, then a summary")


def doctor(options: argparse.Namespace) -> int:
    from pipeline.doctor.examination import examine

    return examine(
        options.config,
        options.set,
        sys.stdout,
        tf_serving=options.tf_serving,
        as_json=options.json,
        strict=options.strict,
        verbose=options.verbose,
    )


def _version(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?", text):
        raise argparse.ArgumentTypeError(f"expected a version such as {TARGET} or {TARGET}.0, got {text!r}")
    return text
