"""Whether a model is good enough, and why. Imports neither TensorFlow nor TFX.

What cannot be judged does not pass: a figure that is NaN, a live model that cannot be compared, a slice without rows.
Only the user can say otherwise (`evaluation.replace_incomparable`, `evaluation.min_slice_size`), and two things need
no judgement: that nothing is live, and that the candidate is what is live.

A loss to the live model is held against `max_loss_to_live` with its bootstrap interval (`bootstrap.py`):

- A measured loss beyond the limit blocks where the interval says that there is a loss at all, that is where it lies
  above 0: nine of ten draws then show one. On thousands of rows that is every loss beyond the limit. On a hundred, two
  models of the same quality are easily two points of accuracy apart; to block on that would stop every third retraining
  for nothing, and the engineer would learn to ignore the gate.
- A measured loss within the limit passes. To ask instead that the whole interval be within it (a test of
  non-inferiority) would block nearly everything on some hundred rows. Where the rows are too few to tell, a note says
  so.
- Below `resampling.FEWEST_ROWS` rows there is no interval worth the name, and the bare number decides. So it does
  where `max_loss_to_live` is negative: an improvement that is asked for must be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from components.config import EvaluationConfig, ThresholdConfig
from components.evaluation import shortfalls
from components.evaluation.measurements import Comparison, Measurements, Slice, natural, number
from components.evaluation.thresholds import direction

Bound = Literal["min", "max", "max_loss_to_live"]

_ROUNDING = 1e-9
"""Slack of a comparison: 0.82 - 0.80 is a little more than 0.02 in binary."""


@dataclass(frozen=True)
class Judgement:
    """One threshold on one slice.

    Attributes:
        metric: its name.
        slice: "column=value", or "" for all rows.
        rows: rows of the slice; for `max_loss_to_live` those that could be compared.
        bound: which of the threshold's parts.
        limit: what it asks for.
        value: what the candidate has; None: it cannot be computed on these rows.
        live: what the live model has, for `max_loss_to_live`.
        loss, interval: how much worse the candidate is, and the bounds of chance; None where there is none.
        passed: None: it is not judged, which does not count against the model.
        sentence: what is wrong, or what is not sure; empty where nothing is.
    """

    metric: str
    slice: str
    rows: int
    bound: Bound
    limit: float
    value: float | None = None
    live: float | None = None
    loss: float | None = None
    interval: tuple[float, float] | None = None
    passed: bool | None = True
    sentence: str = ""


@dataclass
class Verdict:
    """The judgements, and what they come to."""

    judgements: list[Judgement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def blessed(self) -> bool:
        """Whether no threshold is missed."""
        return all(judgement.passed is not False for judgement in self.judgements)


def judge(measured: Measurements, config: EvaluationConfig) -> Verdict:
    """Holds what was measured against `evaluation.thresholds`.

    A threshold is judged on all rows always, and on the slices it names where they have `min_slice_size` rows. On all
    rows a figure that cannot be computed (NaN) fails. On a slice it fails where the rows define it and the model does
    not reach it; where no model could (a ROC curve of rows that all have one label) it is left out, with a note.
    """
    verdict = Verdict(notes=[*measured.notes, *_about_live(measured)])
    if not config.thresholds:
        verdict.notes.append("evaluation.thresholds is empty: any model is blessed")
    verdict.judgements.extend(_judge_answers(measured))
    wants_live = [name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None]
    if wants_live and measured.whole.comparison is None and not measured.live.why_not:
        why = "this very model is live" if measured.live.same else "nothing is live"
        verdict.notes.append(f"max_loss_to_live of {', '.join(wants_live)} was not judged: {why}")
    for metric, threshold in config.thresholds.items():
        verdict.judgements.extend(_judge_part(measured, metric, threshold, measured.whole, config))
        for name in threshold.slices:
            verdict.judgements.extend(_judge_slices(measured, metric, threshold, name, config))
            verdict.notes.extend(_not_judged(measured, metric, name, config.min_slice_size))
    verdict.judgements.sort(key=lambda judgement: judgement.slice != "")
    verdict.notes.extend(each.sentence for each in verdict.judgements if each.passed is not False and each.sentence)
    return verdict


def sentence(measured: Measurements, verdict: Verdict, config: EvaluationConfig) -> str:
    """The verdict as one sentence."""
    missed = [judgement for judgement in verdict.judgements if judgement.passed is False]
    if missed:
        more = f" (and {len(missed) - 1} more, see thresholds)" if len(missed) > 1 else ""
        return f"not blessed: {missed[0].sentence}{more}"
    rows = f"the {measured.whole.rows} {measured.split} rows"
    judged = sum(judgement.passed is True for judgement in verdict.judgements)
    if not judged:
        why = "no threshold could be judged" if config.thresholds else "evaluation.thresholds is empty"
        return f"blessed without a test of quality on {rows}: {why}"
    many = {1: "the threshold is", 2: "both thresholds are"}.get(judged, f"all {judged} thresholds are")
    return f"blessed: {many} met on {rows}"


def _judge_answers(measured: Measurements) -> Iterator[Judgement]:
    """A model that answers a row with no number is not good enough, whatever the thresholds are."""
    broken, rows = measured.whole.not_finite, measured.whole.rows
    if broken:
        said = shortfalls.not_finite(broken, shortfalls.where(measured, measured.whole))
        yield Judgement("not_finite_count", "", rows, "max", 0.0, float(broken), passed=False, sentence=said)


def _about_live(measured: Measurements) -> Iterator[str]:
    """What the user should hear of the comparison as a whole."""
    live = measured.live
    if live.why_not:
        yield f"the live model (version {live.version}) cannot be compared: {live.why_not}"
    elif live.same:
        yield f"this very model is live already, as version {live.version}: there is nothing to compare it with"
    elif not live.version:
        yield "nothing is live yet: this model is measured without comparison"
    if live.labels is not None and measured.whole.comparison is not None:
        rows, of = measured.whole.comparison.rows, measured.whole.rows
        how = (
            f"on the {rows} of {of} {measured.split} rows whose label both know"
            if measured.task == "single_label"
            else "by the labels that both know"
        )
        known = ", ".join(live.labels[:10]) + (", …" if len(live.labels) > 10 else "")
        yield f"the live model (version {live.version}) has other labels: it is compared {how} ({known})"


def _judge_slices(
    measured: Measurements, metric: str, threshold: ThresholdConfig, name: str, config: EvaluationConfig
) -> Iterator[Judgement]:
    """Judges one of a threshold's slices: all values of a column, or one of them."""
    matching = [part for part in measured.slices if name in (part.column, part.name)]
    for part in sorted(matching, key=natural):
        if part.rows >= config.min_slice_size:
            yield from _judge_part(measured, metric, threshold, part, config)
    # A column may lack a value from one day to the next; one that is named is asked for, or misspelt.
    if not matching and "=" in name:
        said = f"{metric} cannot be judged on slice {name}: no {measured.split} row is in it"
        for bound, limit in _bounds(threshold):
            yield Judgement(metric, name, 0, bound, limit, passed=False, sentence=said)


def _bounds(threshold: ThresholdConfig) -> Iterator[tuple[Bound, float]]:
    bounds: list[tuple[Bound, float | None]] = [
        ("min", threshold.min),
        ("max", threshold.max),
        ("max_loss_to_live", threshold.max_loss_to_live),
    ]
    for bound, limit in bounds:
        if limit is not None:
            yield bound, limit


def _judge_part(
    measured: Measurements, metric: str, threshold: ThresholdConfig, part: Slice, config: EvaluationConfig
) -> Iterator[Judgement]:
    for bound, limit in _bounds(threshold):
        if bound != "max_loss_to_live":
            yield _judge_value(measured, metric, bound, limit, part)
        elif measured.live.why_not:
            bare = Judgement(metric, part.name, part.rows, bound, limit, number(part.metrics.get(metric)))
            yield _incomparable(measured, bare, part, measured.live.why_not, config)
        elif part.comparison is not None:
            named = part.name in threshold.slices
            yield _judge_loss(measured, metric, limit, part, part.comparison, named, config)


def _judge_value(measured: Measurements, metric: str, bound: Bound, limit: float, part: Slice) -> Judgement:
    value = part.metrics.get(metric, math.nan)
    place = shortfalls.where(measured, part)
    made = Judgement(metric, part.name, part.rows, bound, limit, number(value))
    if not math.isfinite(value):
        return replace(made, passed=_undefined(metric, part), sentence=shortfalls.undefined(metric, place, bound))
    if (limit - value if bound == "min" else value - limit) <= _ROUNDING:
        return made
    return replace(made, passed=False, sentence=shortfalls.outside(metric, place, bound, limit, value))


def _undefined(metric: str, part: Slice) -> bool | None:
    """What a figure that cannot be computed comes to: a failure, but on a slice whose rows define it for no model."""
    return False if not part.column or metric in part.unreached else None


def _judge_loss(
    measured: Measurements,
    metric: str,
    limit: float,
    part: Slice,
    found: Comparison,
    named: bool,
    config: EvaluationConfig,
) -> Judgement:
    value, old = found.candidate.get(metric, math.nan), found.live.get(metric, math.nan)
    place = shortfalls.where(measured, part, found.rows)
    made = Judgement(metric, part.name, found.rows, "max_loss_to_live", limit, number(value), number(old))
    why = _lacks(measured, metric, value, old)
    if not found.rows and (named or not part.column):
        why = "none of these rows has a label that it knows"
    if why:
        return _incomparable(measured, made, part, why, config)
    if part.column and found.rows < config.min_slice_size:
        least = f"evaluation.min_slice_size is {config.min_slice_size}"
        said = f"max_loss_to_live of {metric} was not judged {place}, of which too few can be compared: {least}"
        return replace(made, passed=None, sentence=said)
    if not math.isfinite(value):
        said = shortfalls.undefined(metric, place, "max_loss_to_live")
        return replace(made, passed=_undefined(metric, part), sentence=said)
    loss = old - value if direction(measured.task, metric) == "higher" else value - old
    interval = found.losses.get(metric)
    made = replace(made, loss=loss, interval=interval)
    if loss - limit > _ROUNDING:
        said = shortfalls.worse(metric, place, limit, value, old, measured.live, interval)
        if interval is None or limit < 0 or interval[0] > _ROUNDING:
            return replace(made, passed=False, sentence=said)
        return replace(made, sentence=shortfalls.by_chance(said))
    if interval is not None and interval[1] - limit > _ROUNDING and not part.column:
        return replace(made, sentence=shortfalls.may_be_worse(metric, place, limit, interval))
    return made


def _lacks(measured: Measurements, metric: str, value: float, old: float) -> str:
    """Why the live model has no such figure; "" where it has, or where the candidate has none either."""
    _, slash, label = metric.partition("/")
    if slash and measured.live.labels is not None and label not in measured.live.labels:
        return f"it does not know the label {label!r}"
    return f"its {metric} cannot be computed there" if math.isfinite(value) and not math.isfinite(old) else ""


def _incomparable(
    measured: Measurements, made: Judgement, part: Slice, why: str, config: EvaluationConfig
) -> Judgement:
    """A comparison that cannot be made fails, unless the user has said that it need not be made."""
    said = shortfalls.incomparable(made.metric, shortfalls.where(measured, part), measured.live, why)
    if config.replace_incomparable:
        return replace(made, passed=None, sentence=f"{said}; evaluation.replace_incomparable lets it pass")
    return replace(made, passed=False, sentence=f"{said}; to replace it all the same: {shortfalls.OVERRIDE}")


def _not_judged(measured: Measurements, metric: str, name: str, least: int) -> Iterator[str]:
    """What a threshold asks for and `min_slice_size` leaves out."""
    matching = [part for part in measured.slices if name in (part.column, part.name)]
    if not matching and "=" not in name:
        yield f"{metric} was not judged on slice {name}: no row is in it"
    small = sorted((part for part in matching if part.rows < least), key=natural)
    if small:
        named = ", ".join(f"{part.name} ({part.rows} rows)" for part in small[:3])
        more = f" and {len(small) - 3} more" if len(small) > 3 else ""
        yield f"{metric} was not judged on slice {named}{more}: evaluation.min_slice_size is {least}"
