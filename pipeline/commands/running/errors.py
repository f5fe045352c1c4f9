"""`transom errors`: lists the rows that a run's model gets wrong."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.arguments import Commands, add_command, add_run, positive_number

_SHOWN = 20


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "errors",
        errors,
        "list the test rows that a run's model gets wrong",
        "Prints the rows whose prediction is wrong, those first of which the model is surest, with their labels, the "
        "scores, and the answers of the live model and the linear baseline. Of a regression: all rows, the largest "
        "error first.",
        """
        transom errors                             the last run's surest mistakes
        transom errors --csv > errors.csv          all of them, with all scores and the table's other columns
        transom errors 20261130-142045 --json      of a run by its name; one JSON object per line
        """,
    )
    add_run(parser)
    parser.add_argument(
        "--most", type=positive_number, metavar="N", help=f"print N rows (default: {_SHOWN}; --csv, --json: all)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="a CSV table of all wrong rows")
    form.add_argument("--json", action="store_true", help="one JSON object per line: all wrong rows")


def errors(options: argparse.Namespace) -> int:
    import csv

    from pipeline.reports.error_rows import csv_rows, error_rows, explained_damage, plain, predictions_of
    from pipeline.reports.error_table import print_errors
    from pipeline.reports.run_choice import find_run
    from pipeline.terminal.streams import use_utf8
    from tflite.host.json_text import to_json

    record, _ = find_run(options.run, options.project, measured=True)
    predictions = predictions_of(record)
    with explained_damage(record):
        found = error_rows(predictions)
    shown = found[: options.most or (None if options.csv or options.json else _SHOWN)]
    if options.csv:
        use_utf8(sys.stdout)
        csv.writer(sys.stdout, lineterminator="\n").writerows(csv_rows(shown, predictions.facts))
    elif options.json:
        for row in shown:
            print(to_json(plain(row)))
    else:
        print_errors(shown, len(found), predictions, record.name, sys.stdout)
    return 0
