"""`transom runs`: lists the runs of a project. `transom clean`: removes what no run needs any more."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.arguments import Commands, add_command, add_config, positive_number, project_paths


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "runs",
        runs,
        "list the runs of a project and their outcomes",
        "Prints a line per run, oldest first: when it began, how long it took, how it ended and its metrics; below it "
        "the verdict, or where, when and why it stopped; and where its model is.\n"
        "How a run ended: pushed; not blessed (measured, and not good enough); finished (--to ended it before the "
        "push); debugged (--debug ended it in the training, where all was finite); failed (a step stopped it: bad "
        "data, wrong settings, a full disk); interrupted (Ctrl-C, or its process was killed); running.",
        """
        transom runs                                   of the transom.yaml of the current folder
        transom runs reviews/                          of another project
        transom runs --json | tail -1 | jq .verdict    the last run's whole record is one JSON object
        """,
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line: whole records")
    _add_clean(commands)


def runs(options: argparse.Namespace) -> int:
    from pipeline.runs.run_tables import print_runs

    print_runs(project_paths(options), sys.stdout, as_json=options.json)
    return 0


def _add_clean(commands: Commands) -> None:
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
