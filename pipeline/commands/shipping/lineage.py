"""`transom lineage`: what made a pushed model."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "lineage",
        lineage,
        "say which data, code, settings and machine made a model",
        "Prints what is written in a pushed model's own folder (assets.extra/lineage.json): the run, the tables with "
        "their digests, the settings, the commit, the packages and the machine. It needs nothing else: the folder may "
        "have been copied to another machine. Of a model that an earlier version of Transom pushed, it says what can "
        "still be known.",
        """
        transom lineage reviews-out                    the newest pushed version
        transom lineage reviews-out/serving/reviews/1796047957
        transom lineage reviews-out/edge/reviews       the newest edge bundle
        transom lineage reviews-out --json | jq .origin.code.commit
        """,
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL_VERSION", help="a version, a push folder, an output folder, or a bundle"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object: every fact")


def lineage(options: argparse.Namespace) -> int:
    from pipeline.lineage.lineage_reading import read_lineage
    from pipeline.lineage.lineage_text import lineage_lines
    from tflite.host.json_text import to_json

    found = read_lineage(options.model)
    if options.json:
        facts = found.lineage.model_dump(mode="json")
        about = {"folder": str(found.folder), "bundle": found.bundle, "complete": found.complete}
        print(to_json({**about, **facts}, ascii=True))
        return 0
    for line in lineage_lines(found):
        print(line)
    return 0
