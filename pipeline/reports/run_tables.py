"""What a run has found, as `transom run` prints it at its end: tables and sentences from its record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.table import Table

from components.data.formats.files import abbreviate
from components.report.live_difference import worse_than_live
from components.report.report_page import FILE_NAME as REPORT_NAME
from components.report.wording import in_one_line
from models.training.progress import format_duration
from pipeline.paths import Paths
from pipeline.reports.calibration_lines import calibration_lines
from pipeline.runs.run_records import ALREADY_LIVE, UNCHANGED, RunRecord, step_log
from pipeline.terminal.console import PlainConsole
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from tflite.measure.cost import Cost

# The metrics to show, the best known first; a run shows those of its task.
HEADLINES = ("accuracy", "macro_f1", "micro_f1", "auc", "mean_average_precision", "spearman", "pearson", "mse")
COUNTS = ("example_count", "unlabelled_count", "unknown_label_count", "not_finite_count")
_BASELINE_HEADINGS = {"majority": "trivial", "linear": "linear"}
MOST_SLICES, MOST_LABELS, MOST_SMALL = 24, 24, 6


def print_summary(record: RunRecord, paths: Paths, stream: TextIO, *, as_json: bool) -> None:
    """Prints the result of a run: training, metrics, slices, verdict, and where the model is."""
    if as_json:
        print(to_json({"event": "result", **asdict(record)}), file=stream, flush=True)
    else:
        print_record(record, paths.runs / record.name, stream)


def print_record(record: RunRecord, folder: Path, stream: TextIO) -> None:
    """Prints the result of a run whose files are in `folder`."""
    console = PlainConsole(stream)
    _print_measurements(record, console)
    console.print()
    if record.verdict:
        console.say(f"verdict: {record.verdict}")
    for line in remarks(record):
        console.say(line)
    if number := sum(record.evaluation.get("label_errors", {}).get("found", {}).values()):
        console.say(_label_errors(record, number))
    if record.serving.get("requests") and record.serving["blessed"]:
        console.say(record.serving["verdict"])
    if record.edge:
        console.say(record.edge["verdict"])
    _print_outcome(record, folder, console)


def _print_measurements(record: RunRecord, console: PlainConsole) -> None:
    """Training, metrics, labels, slices, edge variants."""
    if record.training:
        console.say(_training(record.training))
    overall = record.evaluation.get("metrics", {})
    if overall:
        console.print("", _metrics(record.evaluation), sep="\n")
        if unknown := overall.get("unknown_label_count"):
            console.say(
                f"{_rows_with_labels(int(unknown))} that the training rows do not have: no answer is right there"
            )
        for line in calibration_lines(record.training.get("calibration") or {}, overall):
            console.say(line)
        for baseline in record.evaluation.get("baselines", {}).values():
            console.say(_baseline(baseline))
    labels = record.evaluation.get("per_label", {})
    if 1 < len(labels) <= MOST_LABELS:
        console.print("", _labels(labels, _label_rows(record.evaluation)), sep="\n")
    # Apart from its rows, a label's slice only repeats its recall, which is shown above.
    slices = [entry for entry in record.evaluation.get("slices", []) if entry["column"] != "label"]
    if slices:
        console.print("", _slices(slices, overall), sep="\n")
    small = [entry["slice"] for entry in record.evaluation.get("small_slices", []) if entry["column"] != "label"]
    if small:
        least = record.evaluation["min_slice_size"]
        console.say(f"too few rows to report (evaluation.min_slice_size is {least}): {abbreviate(small, MOST_SMALL)}")
    if record.edge:
        console.print("", _edge(record.edge), sep="\n")
        for row in record.edge["variants"]:
            if not row["chosen"]:
                console.say(f"not chosen: {row['variant']} ({row['why']})")


def _print_outcome(record: RunRecord, folder: Path, console: PlainConsole) -> None:
    """What the run has changed, and where everything is. Commands and paths stay whole, so that they can be copied."""
    if record.status == ALREADY_LIVE:
        console.say("nothing new: the same model was live already, so nothing was pushed")
    if record.status == UNCHANGED:
        since = f" since run {record.repeats}" if record.repeats else ""
        console.say(f"nothing new: nothing has changed{since}, so no step had anything to do")
    if record.pushed:
        console.print(f"{'pushed:' if record.status == 'pushed' else 'live:  '}  {record.pushed}")
    if record.bundle:
        console.print(f"bundle:  {record.bundle}")
    if record.pushed:
        pair = ' --pair "the other"' if record.config.get("task", {}).get("text_pair") else ""
        console.print(f'query:   transom predict {shlex.quote(record.pushed)} "your text"{pair}')
        console.print(f"try it:  transom serve --page {shlex.quote(record.pushed)}")
    report = folder / REPORT_NAME
    if report.is_file():
        console.print(f"report:  {report}")
    if record.status == "failed" and (log := step_log(folder, record.step)):
        console.print(f"log:     {log}")
    console.print(f"run:     {folder}   ({record.status}, {format_duration(record.seconds)})")


def remarks(record: RunRecord) -> list[str]:
    """What is doubtful about a model that passes: worse than a baseline, or than the model that was live."""
    found = [one for one in record.evaluation.get("baselines", {}).values() if one["passed"] and one["sentence"]]
    lines = [f"{'warning' if one['warns'] else 'note'}: {one['sentence']}" for one in found]
    if worse := worse_than_live(record.evaluation, record.rows):
        lines.append(f"warning: {worse}")
    return lines


def _label_errors(record: RunRecord, number: int) -> str:
    found = record.evaluation["label_errors"]["found"]
    splits = ", ".join(f"{count} in {split}" for split, count in found.items() if count)
    return f"labels:  {_rows_with_labels(number)} that may be wrong ({splits}): see the report"


def _rows_with_labels(number: int) -> str:
    return "1 row has a label" if number == 1 else f"{number} rows have labels"


_XLA = {True: "on", False: "off", "parts": "in parts"}


def _training(report: Mapping[str, Any]) -> str:
    numbers, epochs, devices = report["parameters"], report["epochs"], report["devices"]
    total, trained = (_millions(numbers[name]) for name in ("total", "trainable"))
    parts = [
        f"on {report['framework']}",
        f"{total} parameters" + ("" if trained == total else f" ({trained} trained)"),
        "1 epoch" if epochs == 1 else f"{epochs} epochs (best: {report['best_epoch']})",
        f"{report['tokens_per_second']:,.0f} tokens/s",
        str(report["precision"]),
    ]
    if len(devices) > 1:
        parts.insert(1, f"{len(devices)} devices ({report['strategy']})")
    if report["framework"].startswith("tensorflow"):
        parts.append(f"XLA {_XLA[report['xla']]}")
    if report["onednn"] == "off":
        parts.append("oneDNN off")
    return "\ntraining: " + ", ".join(parts)


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,}"


def _metrics(evaluation: Mapping[str, Any]) -> Table:
    """The metrics, the live model's, the losses against it if a threshold limits them, and the baselines' metrics."""
    comparison = evaluation.get("comparison") or {}
    live, losses = comparison.get("live"), comparison.get("losses") or {}
    apart = live is not None and comparison["rows"] != evaluation["rows"]
    headings = [f"metric ({evaluation.get('split', 'test')} rows)", "model"]
    if apart:
        headings.append(f"on the {comparison['rows']} compared")
    if live is not None:
        headings.append("live model")
    if losses:
        headings.append(f"loss ({comparison['interval']:.0%} interval)")
    baselines = [one for one in evaluation.get("baselines", {}).values() if one["metrics"]]
    for one in baselines:
        on = f" on {one['rows']}" if one["rows"] != evaluation["rows"] else ""
        headings.append(_BASELINE_HEADINGS.get(one["name"], one["name"]) + on)
    table = new_table(*headings)
    table.columns[0].no_wrap = True  # the others give way
    for name, value in evaluation["metrics"].items():
        if name in COUNTS:  # the verdict gives the number of rows; a note reports invalid ones
            continue
        cells = [value_text(value)]
        if apart:
            cells.append(value_text(comparison["candidate"].get(name)))
        if live is not None:
            cells.append(value_text(live.get(name)))
        if losses:
            cells.append(" to ".join(f"{bound:+.4f}" for bound in losses[name]) if name in losses else "")
        cells += [value_text(one["metrics"].get(name)) for one in baselines]
        table.add_row(name, *cells)
    return table


def _baseline(baseline: Mapping[str, Any]) -> str:
    """What a baseline answers, and how much better the model is."""
    line = f"{_BASELINE_HEADINGS.get(baseline['name'], baseline['name'])}: {baseline['answer']}"
    if 0 < baseline["train_rows"] < baseline["all_train_rows"]:
        line += f", fitted to a sample of {baseline['train_rows']} of {baseline['all_train_rows']} training rows"
    if baseline["gain"] is not None:
        line += f"; the model's gain in {baseline['metric']}: {baseline['gain']:+.4f}"
        if baseline["interval"] is not None:
            low, high = baseline["interval"]
            line += f" ({baseline['interval_share']:.0%} interval {low:+.4f} to {high:+.4f})"
    return line


def _label_rows(evaluation: Mapping[str, Any]) -> dict[str, int]:
    """The number of rows of each label, if `evaluation.slices` includes the label."""
    slices = [*evaluation.get("slices", []), *evaluation.get("small_slices", [])]
    return {entry["value"]: entry["rows"] for entry in slices if entry["column"] == "label"}


def _labels(labels: Mapping[str, Mapping[str, Any]], rows: Mapping[str, int]) -> Table:
    """The metrics of each label, with the number of rows that they were measured on."""
    columns = [name for name in next(iter(labels.values())) if name not in COUNTS]
    table = new_table("label", *(["rows"] if rows else []), *columns)
    for label, metrics in labels.items():
        counted = [str(rows.get(label, 0))] if rows else []
        table.add_row(label, *counted, *(value_text(metrics.get(name)) for name in columns))
    return table


def _slices(slices: list[Mapping[str, Any]], overall: Mapping[str, Any]) -> Table:
    shown = [name for name in HEADLINES if name in overall][:2]
    table = new_table("slice", "rows", *shown)
    for entry in slices[:MOST_SLICES]:
        table.add_row(entry["slice"], str(entry["rows"]), *(value_text(entry["metrics"].get(name)) for name in shown))
    if len(slices) > MOST_SLICES:
        table.add_row(f"and {len(slices) - MOST_SLICES} more in run.json", *[""] * (len(shown) + 1))
    return table


def _edge(report: Mapping[str, Any]) -> Table:
    table = new_table("edge variant", "MB", "same answer", "difference", "latency")
    for row in report["variants"]:
        cost, parity, ratio = row.get("cost"), row.get("parity"), row.get("latency_ratio")
        table.add_row(
            row["variant"],
            f"{cost['bytes'] / 1e6:.2f}" if cost else "-",
            row.get("same_answer", "-"),
            value_text(parity["max_difference"]) if parity else "-",
            f"{ratio:.2f} x float32" if ratio is not None else "-",
        )
    return table


class PlainTable(Table):
    """A table whose cells are texts, each in one line and without what would change the terminal."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """See `rich.table.Table`."""
        super().add_row(*(in_one_line(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def new_table(*headings: str, left: Sequence[str] = ()) -> Table:
    """A table without lines: texts (the first column, and those in `left`) to the left, numbers to the right."""
    table = PlainTable(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        # What has no room goes on in the next line: by default a long word would lose its end.
        table.add_column(heading, justify="left" if heading in (headings[0], *left) else "right", overflow="fold")
    return table


def value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else str(value)


def print_costs(names: Sequence[str], costs: Sequence[Cost], stream: TextIO) -> None:
    """Prints the cost of bundles, a row per signature; the last column is the time relative to the first bundle."""
    headings = ("bundle", "MB", "loads in ms", "memory MB", "signature", "ms", "p90", "ratio")
    table = new_table(*headings, left=("signature",))
    first = {latency.signature: latency.median for latency in costs[0].latency_ms}
    for name, cost in zip(names, costs, strict=True):
        head = (name, f"{cost.bytes / 1e6:.2f}", f"{cost.load_ms:.1f}", f"{cost.memory_bytes / 1e6:.1f}")
        for latency in cost.latency_ms:
            own = first.get(latency.signature)
            ratio = "-" if own is None else f"{latency.median / own:.2f}"
            table.add_row(*head, latency.signature, f"{latency.median:.3f}", f"{latency.p90:.3f}", ratio)
            head = ("",) * 4
    PlainConsole(stream).print(table)
