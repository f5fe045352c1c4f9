"""`transom report`: makes a run's page again and opens it."""

from __future__ import annotations

import argparse
import os
import sys

from pipeline.commands.arguments import Commands, add_command, add_run


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "report",
        report,
        "open the page of a run, with what to do next",
        "Every run ends with one page, runs/NAME/report.html: the verdict, metrics with intervals, confused labels, "
        "wrong rows, slices, calibration, data, training, serving, small devices and origin. It is one file without "
        "scripts that needs no network. This command makes it again from the run's record, prints its path and, on "
        "a desktop, opens it in the browser.",
        """
        transom report                             the last run of the transom.yaml of the current folder
        transom report 20261130-142045             a run by its name; the beginning of it is enough
        transom report --project reviews/          of another project
        transom report --card                      its model card, as Markdown
        transom report reviews-out/runs/20261130-142045 --no-open    by its folder; only the file is made
        """,
    )
    add_run(parser)
    parser.add_argument("--card", action="store_true", help="print the model card instead, for a README.md")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")


def report(options: argparse.Namespace) -> int:
    from models.errors import TransomError, os_errors_as
    from pipeline.reports.run_choice import find_run
    from pipeline.reports.run_report import run_card, write_report
    from pipeline.terminal.streams import use_utf8

    record, folder = find_run(options.run, options.project, measured=options.card)
    if options.card:
        use_utf8(sys.stdout)
        print(run_card(record), end="")
        return 0
    with os_errors_as(TransomError, f"the report in {folder} cannot be written", fix="change its permissions"):
        page = write_report(record, folder)
    print(page)
    if not options.no_open and sys.stdout.isatty() and _has_desktop():
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return 0


def _has_desktop() -> bool:
    """Without one, `webbrowser` starts a browser for the terminal, which takes it over."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
