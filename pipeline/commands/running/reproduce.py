"""`transom reproduce`: trains a pushed model again and compares the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "reproduce",
        reproduce,
        "train a pushed model again, and compare the weights",
        "Reads in a model's lineage how it was made, checks that the tables and the preset still have the same "
        "contents, lists what else is different (code, packages, machine), trains it again in a folder of its own, and "
        "compares the weights bit by bit. Nothing is written into the project or the push folder.\n"
        "Exit code 0: the weights are identical (if the graph is another, it says so). Exit code 11: they are "
        "different; it prints by how much, and the known reasons among the differences.",
        """
        transom reproduce reviews-out                  the newest pushed version
        transom reproduce 1796047957 --into again      a version that was copied here; keep the run
        transom reproduce reviews-out --data /srv/reviews
        transom reproduce reviews-out --set data.path=/srv/all.csv
        transom reproduce reviews-out --json | tail -1 | jq .result
        """,
    )
    parser.add_argument("model", type=Path, metavar="MODEL_VERSION", help="a version, a push folder or output folder")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="a new folder for the run (default: a temporary one)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="where the tables are now: relative paths of the configuration begin here (default: the folder that the "
        "lineage names; if that is not there, the current one)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="where an input is now: data.path, data.train, data.eval, data.test or model.preset",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line: differences, steps, result")


def reproduce(options: argparse.Namespace) -> int:
    from pipeline.lineage.reproduction import reproduce as train_again

    return train_again(
        options.model,
        into=options.into,
        data=options.data,
        overrides=options.set,
        as_json=options.json,
        verbose=options.verbose,
    )
