"""Whether a score means what it says, and what another threshold would change; for numbers, how far off it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from components.report import charts
from components.report.blocks import Block, Paragraph, Plot, Table
from components.report.page_facts import RunFacts
from components.report.wording import count, cut, number, percent


def trust_blocks(facts: RunFacts) -> Iterator[Block]:
    """Calibration and thresholds, or the errors of a regression."""
    outcomes = facts.rows.get("outcomes")
    if not outcomes:
        yield Paragraph("The run stopped before the rows were predicted.", "note")
    elif "points" in outcomes:
        yield from _numbers(outcomes)
    else:
        yield from _calibration(facts, outcomes["calibration"])
        yield from _thresholds(outcomes["thresholds"])


def _farthest(bins: Sequence[Mapping[str, float]]) -> str:
    """Where, if anywhere, scores are wrong by more than chance: two standard errors of the share that is right."""
    certain = [
        one
        for one in bins
        if abs(one["confidence"] - one["right"])
        > 2 * (max(one["confidence"] * (1 - one["confidence"]), 1e-4) / one["rows"]) ** 0.5
    ]
    if not certain:
        return "Nowhere is that more than chance."
    worst = max(certain, key=lambda one: one["rows"] * abs(one["confidence"] - one["right"]))
    more = "more" if worst["right"] > worst["confidence"] else "less"
    return (
        f"Where it matters most, around a score of {worst['confidence']:.2f}, {percent(worst['right'])} of "
        f"{worst['rows']:,.0f} are right: there it is right {more} often than its scores say."
    )


def _calibration(facts: RunFacts, bins: Sequence[Mapping[str, float]]) -> Iterator[Block]:
    if not bins:
        yield Paragraph("No row has a score and a label.", "note")
        return
    confidence, right = [one["confidence"] for one in bins], [one["right"] for one in bins]
    rows = sum(one["rows"] for one in bins)
    error = sum(one["rows"] * abs(one["confidence"] - one["right"]) for one in bins) / rows
    several = facts.task == "multi_label"
    things = "answers (a label is, or is not, a row's)" if several else "answers"
    words = f"On average a score is {percent(error)} off the share of {things} that are right. {_farthest(bins)}"
    yield Plot(
        partial(
            charts.lines,
            {"model": (confidence, right)},
            "score",
            "share that is right",
            points=True,
            percent=True,
            square=True,
        ),
        "Calibration: on the dotted line a score is the share of answers that are right",
        words,
        narrow=True,
    )
    yield Paragraph(words)
    shown = bins if several else [one for one in bins if one["rows"] >= rows / 200] or bins
    yield Table(
        "Answers by score",
        ["score", "answers", "right"],
        [[f"{one['confidence']:.2f}", f"{one['rows']:,.0f}", percent(one["right"])] for one in shown],
    )
    calibration = facts.training.get("calibration") or {}
    temperatures = calibration.get("temperatures") or []
    if temperatures:
        kind = f"temperature {temperatures[0]:.2f}" if len(temperatures) == 1 else f"{len(temperatures)} temperatures"
        yield Paragraph(f"The scores were calibrated on {count(calibration['rows'], 'eval row')}: {kind}.")


def _thresholds(curve: Mapping[str, Any] | None) -> Iterator[Block]:
    if not curve:
        return
    steps, now = curve["thresholds"], curve["threshold"]
    place = min(range(len(steps)), key=lambda index: abs(steps[index] - now))
    best = max(range(len(steps)), key=lambda index: curve["f1"][index] or 0.0)
    of = f" of “{cut(curve['label'], 60)}”" if curve["label"] else ", all labels together"

    def at(index: int) -> str:
        values = (f"{name} {number(curve[name][index])}" for name in ("precision", "recall", "f1"))
        return ", ".join(values)

    words = f"At {steps[place]:.2f}: {at(place)}. The highest F1 of these rows is at {steps[best]:.2f}: {at(best)}."
    series = {name: (steps, curve[name]) for name in ("precision", "recall", "f1")}
    yield Plot(
        partial(charts.lines, series, "threshold", "value", mark=now, percent=True),
        f"Precision, recall and F1{of} at each threshold; the line is the present one",
        words,
    )
    yield Paragraph(words)
    wanted = list(range(10, 100, 10))
    yield Table(
        f"Thresholds{of}",
        ["threshold", "precision", "recall", "f1"],
        [
            [f"{steps[index]:.2f}", *(number(curve[name][index]) for name in ("precision", "recall", "f1"))]
            for index in wanted
        ],
    )


def _numbers(outcomes: Mapping[str, Any]) -> Iterator[Block]:
    pairs = [(float(given), float(predicted)) for given, predicted in outcomes["points"]]
    quantiles = outcomes["error_quantiles"]
    if not pairs:
        yield Paragraph("No row has a number and a prediction.", "note")
        return
    lean = "too high" if quantiles[2] > 0 else "too low"
    words = (
        f"Half of the predictions are off by {number(quantiles[1])} to {number(quantiles[3])}, nine of ten by "
        f"{number(quantiles[0])} to {number(quantiles[4])}; the median error is {number(quantiles[2])} ({lean})."
    )
    yield Plot(
        partial(charts.points, pairs, "number in the table", "prediction"),
        f"{count(len(pairs), 'row')}: on the dotted line the prediction is right",
        words,
        narrow=True,
    )
    yield Paragraph(words)
