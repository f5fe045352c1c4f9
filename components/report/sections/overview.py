"""The top of the page: the verdict, the most important numbers, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from components.report.blocks import Block, FactList, Paragraph
from components.report.html_page import Headline
from components.report.live_difference import worse_than_live
from components.report.page_facts import RunFacts
from components.report.wording import cut, interval, megabytes, number, seconds, sentence, short, signed

PRIMARY = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}
"""The metric that most people know."""
_TONES = {
    "pushed": "good",
    "already live": "good",
    "unchanged": "good",
    "failed": "bad",
    "not blessed": "bad",
    "interrupted": "bad",
}
_STATUS = {
    "pushed": "pushed: the new model is live",
    "already live": "nothing new: this model was live already",
    "unchanged": "nothing new: no step had anything to do",
    "not blessed": "not pushed: the model did not pass its gates",
    "finished": "ended before a push",
    "failed": "stopped by an error",
    "interrupted": "interrupted",
    "running": "still running",
    "unreadable": "its record cannot be read",
}
_MOST_ERROR = 2000


def tone(facts: RunFacts) -> str:
    """Of the verdict: "good", "bad" or ""."""
    return _TONES.get(facts.status, "")


def verdict(facts: RunFacts) -> str:
    """Why the model was pushed or not, or what stopped the run."""
    status = _STATUS.get(facts.status, facts.status)
    status = f"{status[:1].upper()}{status[1:]}"
    if facts.error:
        where = f" in {facts.stopped_at}" if facts.stopped_at else ""
        return f"{status}{where}.\n{cut(facts.error, _MOST_ERROR)}"
    return f"{status}.\n{facts.verdict}" if facts.verdict else f"{status}."


def subheading(facts: RunFacts) -> str:
    """When the run was, and how long it took."""
    parts = [f"run {facts.name}"] if facts.name else []
    parts += [f"started {facts.started}"] if facts.started else []
    parts += [f"took {seconds(facts.seconds)}"] if facts.seconds else []
    return ", ".join(parts)


def headlines(facts: RunFacts) -> list[Headline]:
    """The metric with its interval, the difference to what is live and to the linear model, size and speed."""
    return [*_quality(facts), *_cost(facts)]


def _quality(facts: RunFacts) -> Iterator[Headline]:
    metric = PRIMARY.get(facts.task, "")
    value = facts.evaluation.get("metrics", {}).get(metric)
    if value is None:
        return
    bounds = facts.rows.get("intervals", {}).get(metric)
    note = f"95% interval {interval(bounds)}" if bounds else f"on {facts.evaluation.get('rows', 0):,} rows"
    yield Headline(metric.replace("_", " "), number(value), note)
    against = facts.rows.get("against", {})
    for name, words in (("live", "against the live model"), ("linear", "against a linear model")):
        compared = against.get(name, {}).get("metrics", {}).get(metric)
        if compared and compared["model"] is not None and compared["other"] is not None:
            yield Headline(words, signed(compared["model"] - compared["other"]), _certainty(compared["difference"]))


def _certainty(interval: list[float] | None) -> str:
    if not interval:
        return "too few rows to tell whether it is chance"
    return "more than chance" if interval[1] < 0 or interval[0] > 0 else "may be chance"


def _cost(facts: RunFacts) -> Iterator[Headline]:
    latency = facts.serving.get("latency_ms") or {}
    if latency:
        yield Headline("one text, served", f"{latency['p50']:.1f} ms", f"99 of 100 within {latency['p99']:.1f} ms")
    chosen = next((row for row in facts.edge.get("variants", []) if row.get("chosen")), None)
    if chosen and chosen.get("cost"):
        cost = chosen["cost"]
        medians = [one["median"] for one in cost.get("latency_ms", [])]
        speed = f", {short(max(medians))} ms on one thread" if medians else ""
        yield Headline("for small devices", megabytes(cost["bytes"]), f"{chosen['variant']}{speed}")


def next_blocks(facts: RunFacts) -> Iterator[Block]:
    """What is live now, what is doubtful, and what a person could do."""
    places = [("live model", facts.pushed), ("bundle for small devices", facts.bundle)]
    if any(place for _, place in places):
        yield FactList([(name, place) for name, place in places if place])
    doubts = list(_doubts(facts))
    yield from doubts
    if not doubts and facts.evaluation:
        yield Paragraph("Nothing here speaks against this model: no gate, baseline or slice gives a reason.", "good")
    elif not doubts and not any(place for _, place in places):
        yield Paragraph("The run stopped before anything was measured. The verdict above says why.", "note")


def _doubts(facts: RunFacts) -> Iterator[Block]:
    if worse := worse_than_live(facts.evaluation, facts.rows):
        yield Paragraph(sentence(f"It is {worse}"), "bad")
    for baseline in facts.evaluation.get("baselines", {}).values():
        if baseline.get("sentence"):
            yield Paragraph(sentence(baseline["sentence"]), "bad")
    found = facts.evaluation.get("label_errors", {}).get("found", {})
    if total := sum(found.values()):
        rows = "1 row has a label that" if total == 1 else f"{total:,} rows have labels that"
        yield Paragraph(f"{rows} may be wrong: see “Wrong rows” below. Correct them first; it is the cheapest gain.")
    drifted = [one["column"] for one in facts.findings if one.get("rule") == "drift"]
    if drifted:
        yield Paragraph(f"The data have drifted from those of the live model: {', '.join(drifted)}.", "bad")
    leaks = [one for one in facts.findings if one.get("rule") == "split_overlap"]
    if leaks:
        yield Paragraph("Texts are in more than one split, so the measured quality is too good: see “Data”.", "bad")
    intervals = facts.rows.get("intervals", {})
    metric = PRIMARY.get(facts.task, "")
    if metric in intervals and facts.task != "regression":
        low, high = intervals[metric]
        if high - low > 0.1:
            yield Paragraph(
                f"The interval of {metric} is {high - low:.2f} wide: with more test rows you would know it better."
            )
