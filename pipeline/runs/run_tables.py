"""The tables that `transom run` and `transom runs` print from the runs' records."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from rich.table import Table

from components.data.formats.files import abbreviate
from components.report.report_page import FILE_NAME as REPORT_NAME
from pipeline.paths import Paths
from pipeline.runs.calibration_lines import calibration_lines
from pipeline.runs.run_records import RunRecord, all_runs
from pipeline.steps import CHECKS
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
        return
    console = PlainConsole(stream)
    if record.training:
        console.print(_training(record.training))
    overall = record.evaluation.get("metrics", {})
    if overall:
        console.print("", _metrics(record.evaluation), sep="\n")
        if unknown := overall.get("unknown_label_count"):
            console.print(
                f"{_rows_with_labels(int(unknown))} that the training rows do not have: no answer is right there"
            )
        for line in calibration_lines(record.training.get("calibration") or {}, overall):
            console.print(line)
        for baseline in record.evaluation.get("baselines", {}).values():
            console.print(_baseline(baseline))
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
        console.print(f"too few rows to report (evaluation.min_slice_size is {least}): {abbreviate(small, MOST_SMALL)}")
    if record.edge:
        console.print("", _edge(record.edge), sep="\n")
        for row in record.edge["variants"]:
            if not row["chosen"]:
                console.print(f"not chosen: {row['variant']} ({row['why']})")
    console.print()
    if record.verdict:
        console.print(f"verdict: {record.verdict}")
    for line in _remarks(record):
        console.print(line)
    _print_label_errors(record, paths, console)
    if record.serving.get("requests") and record.serving["blessed"]:
        console.print(record.serving["verdict"])
    if record.edge:
        console.print(record.edge["verdict"])
    if record.status == "unchanged":
        console.print("nothing new: the same model was live already, so nothing was pushed")
    if record.pushed:
        console.print(f"{'live:  ' if record.status == 'unchanged' else 'pushed:'}  {record.pushed}")
    if record.bundle:
        console.print(f"bundle:  {record.bundle}")
    if record.pushed:
        pair = ' --pair "the other"' if record.config.get("task", {}).get("text_pair") else ""
        console.print(f'query:   transom predict {shlex.quote(record.pushed)} "your text"{pair}')
    report = paths.runs / record.name / REPORT_NAME
    if report.is_file():
        console.print(f"report:  {report}")
    console.print(f"run:     {paths.runs / record.name}   ({record.status}, {record.seconds:.0f} s)")


def _remarks(record: RunRecord) -> list[str]:
    """What is doubtful about a model that is better than the baselines, or passes although it is not."""
    found = [one for one in record.evaluation.get("baselines", {}).values() if one["passed"] and one["sentence"]]
    return [f"{'warning' if one['warns'] else 'note'}: {one['sentence']}" for one in found]


def _print_label_errors(record: RunRecord, paths: Paths, console: PlainConsole) -> None:
    found = record.evaluation.get("label_errors", {}).get("found", {})
    if number := sum(found.values()):
        splits = ", ".join(f"{count} in {split}" for split, count in found.items() if count)
        console.print(f"labels:  {_rows_with_labels(number)} that may be wrong ({splits}): see the report")


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
    table = _table(*headings)
    for name, value in evaluation["metrics"].items():
        if name in COUNTS:  # the verdict gives the number of rows; a note reports invalid ones
            continue
        cells = [_number(value)]
        if apart:
            cells.append(_number(comparison["candidate"].get(name)))
        if live is not None:
            cells.append(_number(live.get(name)))
        if losses:
            cells.append(" to ".join(f"{bound:+.4f}" for bound in losses[name]) if name in losses else "")
        cells += [_number(one["metrics"].get(name)) for one in baselines]
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
    table = _table("label", *(["rows"] if rows else []), *columns)
    for label, metrics in labels.items():
        counted = [str(rows.get(label, 0))] if rows else []
        table.add_row(label, *counted, *(_number(metrics.get(name)) for name in columns))
    return table


def _slices(slices: list[Mapping[str, Any]], overall: Mapping[str, Any]) -> Table:
    shown = [name for name in HEADLINES if name in overall][:2]
    table = _table("slice", "rows", *shown)
    for entry in slices[:MOST_SLICES]:
        table.add_row(entry["slice"], str(entry["rows"]), *(_number(entry["metrics"].get(name)) for name in shown))
    if len(slices) > MOST_SLICES:
        table.add_row(f"and {len(slices) - MOST_SLICES} more in run.json", *[""] * (len(shown) + 1))
    return table


def _edge(report: Mapping[str, Any]) -> Table:
    table = _table("edge variant", "MB", "same answer", "difference", "latency")
    for row in report["variants"]:
        cost, parity, ratio = row.get("cost"), row.get("parity"), row.get("latency_ratio")
        table.add_row(
            row["variant"],
            f"{cost['bytes'] / 1e6:.2f}" if cost else "-",
            row.get("same_answer", "-"),
            _number(parity["max_difference"]) if parity else "-",
            f"{ratio:.2f} x float32" if ratio is not None else "-",
        )
    return table


def _table(*headings: str) -> Table:
    """A table without lines: texts (the first column, and signatures) to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in (headings[0], "signature") else "right")
    return table


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else str(value)


def print_costs(names: Sequence[str], costs: Sequence[Cost], stream: TextIO) -> None:
    """Prints the cost of bundles, a row per signature; the last column is the time relative to the first bundle."""
    table = _table("bundle", "MB", "loads in ms", "memory MB", "signature", "ms", "p90", "ratio")
    first = {latency.signature: latency.median for latency in costs[0].latency_ms}
    for name, cost in zip(names, costs, strict=True):
        head = (name, f"{cost.bytes / 1e6:.2f}", f"{cost.load_ms:.1f}", f"{cost.memory_bytes / 1e6:.1f}")
        for latency in cost.latency_ms:
            own = first.get(latency.signature)
            ratio = "-" if own is None else f"{latency.median / own:.2f}"
            table.add_row(*head, latency.signature, f"{latency.median:.3f}", f"{latency.p90:.3f}", ratio)
            head = ("",) * 4
    PlainConsole(stream).print(table)


def print_runs(paths: Paths, stream: TextIO, *, as_json: bool) -> None:
    """Prints the project's runs, newest last: time, duration, metrics, verdict, what stopped it, where the model is."""
    runs = all_runs(paths)
    if as_json:
        for run in runs:
            print(to_json(asdict(run)), file=stream)
        return
    if not runs:
        print(f"no runs in {paths.runs}: `transom run` starts the first", file=stream)
        return
    shown = [name for name in HEADLINES if any(name in run.evaluation.get("metrics", {}) for run in runs)][:3]
    line = f"{{:<18}}{{:>8}}  {{:<12}}{'{:>12}' * len(shown)}"
    print(line.format("run", "seconds", "status", *shown).rstrip(), file=stream)
    for run in runs:
        values = (_number(run.evaluation.get("metrics", {}).get(name)) for name in shown)
        print(line.format(run.name, f"{run.seconds:.0f}", run.status, *values).rstrip(), file=stream)
        for detail in (run.verdict, *_remarks(run), _debugged(run), _stopped(run), run.pushed, run.bundle):
            if detail:
                print(f"    {detail}", file=stream)


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
