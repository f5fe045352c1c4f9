"""What `transom runs` prints: a line for each run, or all of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from models.training.progress import format_duration
from pipeline.paths import Paths
from pipeline.reports.run_tables import HEADLINES, new_table, print_record, remarks, value_text
from pipeline.runs.run_records import RunRecord, all_runs, step_log
from pipeline.steps import CHECKS
from pipeline.terminal.console import PlainConsole
from tflite.host.json_text import to_json

_MOST_METRICS, _METRIC_WIDTH, _GAP = 3, 10, "  "


def print_runs(paths: Paths, stream: TextIO, *, as_json: bool, verbose: bool = False) -> None:
    """Prints the project's runs, newest last: how long each took, how it ended, and as many metrics as fit.

    Args:
        verbose: below each run also its verdict, or why it stopped, and where its model is.
    """
    runs = all_runs(paths)
    if as_json:
        for run in runs:
            print(to_json(asdict(run)), file=stream)
        return
    if not runs:
        print(f"no runs in {paths.runs}: `transom run` starts the first", file=stream)
        return
    console = PlainConsole(stream)
    heading, *lines = _lines(runs, console.width)
    print(heading, file=stream)
    for run, line in zip(runs, lines, strict=True):
        print(line, file=stream)
        if verbose:
            for detail in (run.verdict, *remarks(run), _debugged(run), _stopped(run)):
                if detail:
                    console.say(f"    {detail}")
            for place in filter(None, (run.pushed, run.bundle)):
                print(f"    {place}", file=stream)


def _lines(runs: Sequence[RunRecord], width: int) -> list[str]:
    """The table: its heading and a line for each run, of at most `width` columns if names and statuses allow it."""
    rows = [("run", "took", "ended"), *((run.name, format_duration(run.seconds), _ended(run)) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - sum(widths) - 2 * len(_GAP)
    shown = [name for name in HEADLINES if any(name in run.evaluation.get("metrics", {}) for run in runs)]
    metrics: dict[str, int] = {}
    for name in shown[:_MOST_METRICS]:
        column = max(_METRIC_WIDTH, len(name)) + len(_GAP)
        if sum(metrics.values()) + column <= room:
            metrics[name] = column
    measured = [run.evaluation.get("metrics", {}) for run in runs]
    cells = [[*metrics], *([value_text(values.get(name)) for name in metrics] for values in measured)]
    return [
        (
            f"{name:<{widths[0]}}{_GAP}{took:>{widths[1]}}{_GAP}{ended:<{widths[2]}}"
            + "".join(f"{cell:>{column}}" for cell, column in zip(values, metrics.values(), strict=True))
        ).rstrip()
        for (name, took, ended), values in zip(rows, cells, strict=True)
    ]


def _ended(run: RunRecord) -> str:
    """How a run ended, and where, if it did not come to its end."""
    if run.status == "running":
        return f"running, at {run.steps[-1].name if run.steps else CHECKS}"
    return f"{run.status} at {run.step}" if run.status in ("failed", "interrupted") and run.step else run.status


def _debugged(run: RunRecord) -> str:
    """How far a run with --debug came; "" of any other."""
    if not run.debug:
        return ""
    return f"a debug run: {len(run.debug['steps'])} of {run.debug['steps_wanted']} steps were finite"


def _stopped(run: RunRecord) -> str:
    """Where, when and why a run stopped early, or where it is now; "" if it finished."""
    if run.status == "running":
        step = run.steps[-1].name if run.steps else CHECKS
        return f"at {step}, started {run.started}"
    if not run.error:
        return ""
    what, *rest = [line.strip() for line in run.error.splitlines()]
    got = rest[0].removeprefix("got:") or "".join(rest[1:2]) if rest and rest[0].startswith("got:") else ""
    where = f"at {run.step}, {run.ended}: " if run.step else ""
    return where + (f"{what}: {got.strip()}" if got else what)


def print_run(record: RunRecord, folder: Path, stream: TextIO, *, as_json: bool) -> None:
    """Prints all of one run: its steps and what each took, what it found, and what stopped it."""
    if as_json:
        print(to_json(asdict(record)), file=stream)
        return
    console = PlainConsole(stream)
    if record.steps:
        table = new_table("step", "", "seconds", "MB at most", "CPU seconds", left=("step", ""))
        for step in record.steps:
            ran = step.status not in ("cached", "skipped")
            row = [step.name, step.status, f"{step.seconds:,.1f}" if ran else ""]
            if step.peak_memory_bytes:
                row += [f"{step.peak_memory_bytes / 1e6:,.0f}", f"{step.cpu_seconds:,.1f}"]
            table.add_row(*row)
        console.print(table)
    print_record(record, folder, stream)
    if record.started:
        console.say(f"time:    {record.started} to {record.ended or 'now'}")
    if record.error:
        console.say(f"\n{record.error}")
    elif record.status == "running" and record.steps and (log := step_log(folder, record.steps[-1].name)):
        console.print(f"log:     {log}")
