"""How good the model is, how sure one may be of that, and how it compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.report.blocks import Block, Cell, Paragraph, Table
from components.report.page_facts import RunFacts
from components.report.wording import ABSENT, chance, count, cut, interval, number, sentence, signed, signed_interval

_NAMES = {"live": "the live model", "linear": "a linear model of words and characters"}
_COUNTS = ("example_count", "unlabelled_count", "unknown_label_count", "not_finite_count")
_MOST_SLICES, _MOST_SMALL = 40, 12


def metrics_blocks(facts: RunFacts) -> Iterator[Block]:
    """Each metric with its interval and the baselines'; the paired comparison with what is live; the thresholds."""
    evaluation = facts.evaluation
    if not evaluation:
        yield Paragraph("The run stopped before the model was measured.", "note")
        return
    yield _metrics(facts)
    measured, rows = facts.rows.get("measured_rows", 0), facts.rows.get("rows", 0)
    if facts.rows.get("intervals"):
        of = f" from {measured:,} of the {rows:,} rows" if measured < rows else ""
        yield Paragraph(
            f"95% intervals (bootstrap{of}): how far a metric may move with another test set of this size and kind."
        )
    else:
        yield Paragraph("There are too few rows, or too many labels, for intervals.", "note")
    yield from _against(facts)
    yield from _thresholds(evaluation)
    told = {baseline.get("sentence") for baseline in evaluation.get("baselines", {}).values()}
    yield from (Paragraph(sentence(note)) for note in evaluation.get("notes", []) if note not in told)


def _metrics(facts: RunFacts) -> Table:
    evaluation, intervals = facts.evaluation, facts.rows.get("intervals", {})
    comparison = evaluation.get("comparison") or {}
    others: dict[str, Mapping[str, Any]] = {}
    if comparison.get("live"):
        others[f"live model ({comparison['rows']:,} rows)"] = comparison["live"]
    names = {"majority": "trivial answer", "linear": "linear model"}
    for name, baseline in evaluation.get("baselines", {}).items():
        if baseline["metrics"]:
            others[names.get(name, name)] = baseline["metrics"]
    rows = [
        [
            name.replace("_", " "),
            number(value),
            interval(intervals.get(name)),
            *(number(metrics.get(name)) for metrics in others.values()),
        ]
        for name, value in evaluation["metrics"].items()
        if name not in _COUNTS
    ]
    caption = f"On {evaluation['rows']:,} rows of the {evaluation['split']} split"
    return Table(caption, ["metric", "model", "95% interval", *others], rows)


def _against(facts: RunFacts) -> Iterator[Block]:
    """The paired comparison with the live model and the linear one: rows, and differences with intervals."""
    comparison = facts.evaluation.get("comparison") or {}
    if comparison.get("same_model"):
        yield Paragraph("This model is the live one: there is nothing to compare it with.", "note")
    elif comparison.get("why_not"):
        yield Paragraph(f"It could not be compared with the live model: {comparison['why_not']}.", "bad")
    for name, found in facts.rows.get("against", {}).items():
        words = _NAMES.get(name, name)
        if "fixed" in found:
            yield Paragraph(_rows_in_words(found, words), _tone(found))
        if found.get("metrics"):
            rows = [
                [
                    metric.replace("_", " "),
                    number(one["model"]),
                    number(one["other"]),
                    _gain(one),
                    signed_interval(one["difference"]),
                ]
                for metric, one in found["metrics"].items()
            ]
            caption = f"Against {words}, on the same {found['compared_rows']:,} rows"
            headings = ["metric", "model", "other", "difference", "95% interval"]
            yield Table(caption, headings, rows)


def _rows_in_words(found: Mapping[str, Any], words: str) -> str:
    fixed, broken = count(found["fixed"], "row"), count(found["broken"], "row")
    more = found["chance"] < 0.05
    verdict = "The difference is more than chance" if more else "The difference may be chance"
    return (
        f"It gets {fixed} right that {words} gets wrong, and {broken} the other way round. "
        f"{verdict} (McNemar's test, p {chance(found['chance'])})."
    )


def _tone(found: Mapping[str, Any]) -> str:
    if found["chance"] >= 0.05:
        return ""
    return "good" if found["fixed"] > found["broken"] else "bad"


def _gain(one: Mapping[str, Any]) -> str:
    if one["model"] is None or one["other"] is None:
        return ABSENT
    return signed(one["model"] - one["other"])


def _thresholds(evaluation: Mapping[str, Any]) -> Iterator[Block]:
    judged = evaluation.get("thresholds", [])
    if not judged:
        return
    rows: list[list[Cell | str]] = [
        [
            f"{one['metric']}{' in ' + one['slice'] if one['slice'] else ''}",
            f"{one['bound']} {one['limit']:g}",
            number(one["value"] if one["bound"] != "max_loss_to_live" else one["loss"]),
            Cell("met" if one["passed"] else "missed", None, "good" if one["passed"] else "bad"),
        ]
        for one in judged
    ]
    yield Table("Thresholds", ["threshold", "limit", "value", "result"], rows)


def slices_blocks(facts: RunFacts) -> Iterator[Block]:
    """The slices, the worst first."""
    evaluation = facts.evaluation
    metric = _slice_metric(facts.task)
    slices = [part for part in evaluation.get("slices", []) if part["metrics"].get(metric) is not None]
    if not evaluation:
        yield Paragraph("The run stopped before the model was measured.", "note")
        return
    if not slices:
        yield Paragraph("No slice has enough rows (evaluation.slices, min_slice_size).", "note")
    else:
        lower_is_better = metric in ("mse", "mae")
        slices.sort(key=lambda part: part["metrics"][metric], reverse=lower_is_better)
        worst, overall = slices[0], evaluation["metrics"].get(metric)
        value = worst["metrics"][metric]
        found = f"{metric.replace('_', ' ')} {number(value)} on {count(worst['rows'], 'row')}"
        if overall is None or (value > overall if lower_is_better else value < overall):
            yield Paragraph(f"The worst is {worst['slice']}: {found}, against {number(overall)} on all.")
        else:
            yield Paragraph("No slice with enough rows is worse than all rows together.", "good")
        yield _slices(slices[:_MOST_SLICES], metric, overall)
        if len(slices) > _MOST_SLICES:
            yield Paragraph(f"and {count(len(slices) - _MOST_SLICES, 'better slice')}")
    small = evaluation.get("small_slices", [])
    if small:
        shown = ", ".join(cut(part["slice"], 60) for part in small[:_MOST_SMALL])
        more = f" and {len(small) - _MOST_SMALL} more" if len(small) > _MOST_SMALL else ""
        least = evaluation.get("min_slice_size", 0)
        yield Paragraph(f"Too few rows to judge (fewer than {least}): {shown}{more}.", for_owner=True)


def _slice_metric(task: str) -> str:
    return {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "mae"}.get(task, "")


def _slices(slices: list[Mapping[str, Any]], metric: str, overall: float | None) -> Table:
    has_live = any(part.get("baseline") for part in slices)
    has_linear = any(part.get("baselines", {}).get("linear") for part in slices)
    rows = []
    for part in slices:
        value = part["metrics"][metric]
        row: list[Cell | str] = [cut(part["slice"], 80), f"{part['rows']:,}"]
        row.append(Cell(number(value), min(1.0, max(0.0, value)) if metric != "mae" else None))
        row.append(signed(value - overall) if overall is not None else ABSENT)
        if has_live:
            row.append(number((part.get("baseline") or {}).get(metric)))
        if has_linear:
            row.append(number((part.get("baselines", {}).get("linear") or {}).get(metric)))
        rows.append(row)
    headings = ["slice", "rows", metric.replace("_", " "), "against all rows"]
    headings += ["live model"] * has_live + ["linear model"] * has_linear
    return Table("Slices, the worst first", headings, rows)
