"""`transom runs`: lists the runs of a project. `transom clean`: removes what no run needs any more."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.commands.arguments import (
    Commands,
    add_command,
    add_config,
    add_project,
    add_set,
    positive_number,
    project_paths,
    run_name,
)


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "runs",
        runs,
        "list the runs of a project, or show one",
        "Prints a line per run, newest last: how long it took, how it ended, and its metrics. Of a run that is named: "
        "its steps with the memory and the processor time that each took, all that it found, and what stopped it.\n"
        "How a run ended: pushed; already live (it made the model that was live before); unchanged (no step had "
        "anything to do); not blessed (measured, and not good enough); finished (--to ended it before the push); "
        "debugged (--debug ended it in the training, where all was finite); failed (a step stopped it: bad data, "
        "wrong settings, a full disk); interrupted (Ctrl-C, or its process was killed); running.",
        """
        transom runs                                   of the transom.yaml of the current folder
        transom runs -v                                with the verdict of each, and where its model is
        transom runs last                              all of the last run
        transom runs 20261130-142045                   all of a run by its name, or the beginning of it
        transom runs reviews/                          of another project
        transom runs --json | tail -1 | jq .verdict    the last run's whole record is one JSON object
        """,
        verbose="show for each run its verdict, or why it stopped, and where its model is",
    )
    parser.add_argument(
        "named",
        type=run_name,
        nargs="?",
        metavar="RUN|YAML",
        help='name of a run, or the beginning of it, or "last", or its folder; or a project: its configuration, or '
        "its folder (default: transom.yaml in the current folder)",
    )
    add_project(parser)
    add_set(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line: whole records")


def runs(options: argparse.Namespace) -> int:
    from models.errors import ConfigError
    from pipeline.reports.run_choice import find_run
    from pipeline.reports.run_list import print_run, print_runs

    options.config = options.project
    if options.named is not None and _is_project(options.named):
        if options.project is not None:
            raise ConfigError(
                "the project",
                got=f"{options.named} and --project {options.project}",
                expected="one project",
                fix="leave one of them out",
            )
        options.config = Path(options.named)
    elif options.named is not None:
        record, folder = find_run(options.named, options.project, options.set)
        print_run(record, folder, sys.stdout, as_json=options.json)
        return 0
    print_runs(project_paths(options), sys.stdout, as_json=options.json, verbose=options.verbose)
    return 0


def _is_project(named: str) -> bool:
    """Whether an argument means a project: a configuration, or a folder that is not a run's."""
    path = Path(named)
    return path.suffix.lower() in (".yaml", ".yml") or (path.is_dir() and not (path / "run.json").is_file())


def add_clean(commands: Commands) -> None:
    parser = add_command(
        commands,
        "clean",
        clean,
        "free disk space: remove what no run needs any more",
        "Removes the results of steps that neither the last runs nor a version in the push folder were made with, and "
        "what killed runs have left behind. Pushed models and bundles, checkpoints of interrupted trainings and the "
        "records of all runs stay. Only steps of runs long past would have to run again.",
        """
        transom clean --dry-run                        say what would be removed, and how much that is
        transom clean                                  remove it
        transom clean reviews/ --runs 1                keep only the last run of another project
        transom clean --json | tail -1 | jq .bytes     output for a program
        """,
    )
    add_config(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--runs",
        type=positive_number,
        default=5,
        metavar="N",
        help="how many runs keep their results, of those with a model (default: the last 5)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line: each folder, then the sum")


def clean(options: argparse.Namespace) -> int:
    from models.errors import TransomError, os_errors_as
    from pipeline.runs.run_lock import hold_lock
    from pipeline.runs.store.clean_up import find_leftovers, remove
    from tflite.host.json_text import to_json

    paths = project_paths(options)
    if not paths.output.is_dir():
        print(f"nothing to remove: there is no {paths.output}", file=sys.stderr)
        return 0
    with hold_lock(paths.lock, lambda: "a clean-up"):
        found = find_leftovers(paths, options.runs)
        total = sum(one.size for one in found)
        if not options.dry_run:
            with os_errors_as(TransomError, f"{paths.artifacts} cannot be cleaned up", fix="change its permissions"):
                remove(found, paths)
    for one in sorted(found, key=lambda leftover: -leftover.size):
        if options.json:
            print(to_json({"folder": str(one.folder), "bytes": one.size, "why": one.why}))
        else:
            print(f"{one.size / 1e6:10.1f} MB  {one.folder.relative_to(paths.output)}  ({one.why})")
    if options.json:
        print(to_json({"folders": len(found), "bytes": total, "removed": not options.dry_run}))
    else:
        verb = "would be removed" if options.dry_run else "removed"
        print(f"{total / 1e6:10.1f} MB in {len(found)} folders {verb}" if found else "nothing to remove")
    return 0
