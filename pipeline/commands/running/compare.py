"""`transom compare`: what is different between two runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command, add_run


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "compare",
        compare,
        "compare two runs: settings, data, metrics, rows",
        "Says which settings and tables differ, measures both models on the test rows that both runs have, with a "
        "paired test and intervals of the differences, and lists the rows that became right and those that became "
        "wrong.",
        """
        transom compare 20261130-142045 last               an earlier run and the last one
        transom compare 20261130-142045 last --page c.html    also as a page, with more of the rows
        transom compare 20261130-142045 last --json        output for a program
        """,
    )
    add_run(parser, "before", "after")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page, too")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def compare(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from models.errors import TransomError, os_errors_as
    from models.whole_writes import write_whole
    from pipeline.reports.comparison_page import comparison_page
    from pipeline.reports.comparison_table import print_comparison
    from pipeline.reports.run_choice import find_run
    from pipeline.reports.run_comparison import compare_runs
    from tflite.host.json_text import to_json

    named = options.before, options.after
    before, after = (find_run(name, options.project, measured=True)[0] for name in named)
    found = compare_runs(before, after)
    if options.page is not None:
        if options.page.is_dir():
            raise TransomError("--page", got=f"{options.page}, a folder", expected="a file", fix="name a file in it")
        with os_errors_as(TransomError, f"the page {options.page} cannot be written", fix="name another file"):
            write_whole(options.page, comparison_page(found))
    if options.json:
        names = {"before": before.name, "after": after.name}
        parts = {name: value for name, value in vars(found).items() if name not in names}
        listed = {name: [asdict(row) for row in parts[name]] for name in ("fixed", "broken")}
        print(to_json({**names, **parts, **listed}))
    else:
        print_comparison(found, sys.stdout)
        if options.page is not None:
            print(f"page: {options.page.resolve()}")
    return 0
