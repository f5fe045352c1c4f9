"""Whether a model is good enough, and why. Imports neither TensorFlow nor TFX.

What cannot be judged does not pass: a metric that is NaN, a live model that cannot be compared, a slice without rows.
Only the user can allow it (`evaluation.replace_incomparable`, `evaluation.min_slice_size`). Two cases are not judged:
nothing is live, or the candidate is the live model.

A loss to the live model is compared with `max_loss_to_live`, using its bootstrap interval (`bootstrap.py`):

- A measured loss beyond the limit blocks the push if the interval is above 0, that is, if nine of ten draws show a
  loss. On thousands of rows that is every loss beyond the limit. On a hundred rows, two models of the same quality
  easily differ by two points of accuracy; blocking on that would stop every third retraining for no reason, and
  engineers would learn to ignore the gate.
- A measured loss within the limit passes. Requiring the whole interval to be within it (a test of non-inferiority)
  would block nearly everything on a few hundred rows. If there are too few rows to tell, a note says so.
- With fewer than `measurements.FEWEST_ROWS` rows there is no meaningful interval, and the measured loss alone decides.
  The same holds if `max_loss_to_live` is negative: a required improvement must be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from components.config import EvaluationConfig, ThresholdConfig
from components.evaluation import threshold_messages
from components.evaluation.baseline_verdict import BaselineJudgement, judge_baselines
from components.evaluation.measurements import Comparison, Measurements, Slice, finite_or_none, natural_order
from components.evaluation.thresholds import direction

Bound = Literal["min", "max", "max_loss_to_live"]

NOTHING_LIVE = "nothing is live yet: this model is measured without a comparison"
_ROUNDING = 1e-9
"""Tolerance of a comparison: 0.82 - 0.80 is slightly more than 0.02 in binary."""


@dataclass(frozen=True)
class Judgement:
    """One threshold on one slice.

    Attributes:
        metric: its name.
        slice: "column=value", or "" for all rows.
        rows: the rows of the slice; for `max_loss_to_live` those that could be compared.
        bound: which part of the threshold.
        limit: the value of that part.
        value: the candidate's value; None: it cannot be computed on these rows.
        live: the live model's value, for `max_loss_to_live`.
        loss, interval: how much worse the candidate is, and the loss's bootstrap interval; None if there is none.
        passed: None: not judged, which does not count against the model.
        sentence: what is wrong or uncertain; empty if nothing is.
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
    """The judgements of the thresholds and of the baselines, and their result."""

    judgements: list[Judgement] = field(default_factory=list)
    baselines: list[BaselineJudgement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def blessed(self) -> bool:
        """True if no threshold is missed, and no baseline that the model must be better than."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """Why the model is not blessed."""
        missed: list[Judgement | BaselineJudgement] = [*self.judgements, *self.baselines]
        return [judgement.sentence for judgement in missed if judgement.passed is False]


def reach_verdict(measured: Measurements, config: EvaluationConfig) -> Verdict:
    """Compares the measurements with `evaluation.thresholds`.

    A threshold is always judged on all rows, and on each of its slices that has `min_slice_size` rows. On all rows, a
    metric that cannot be computed (NaN) fails. On a slice it fails only if the rows define it; if no model could have
    it (a ROC curve of rows that all have one label), it is left out, with a note.
    """
    verdict = Verdict(notes=[*measured.notes, *_live_model_notes(measured)])
    verdict.baselines.extend(judge_baselines(measured, config))
    if not config.thresholds:
        must = [judgement.title for judgement in verdict.baselines if judgement.severity == "error"]
        which = f"any model that is better than {' and '.join(must)}" if must else "any model"
        verdict.notes.append(f"evaluation.thresholds is empty: {which} is blessed")
    verdict.judgements.extend(_judge_finiteness(measured))
    wants_live = [name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None]
    if wants_live and measured.whole.comparison is None and not measured.live.why_not:
        why = "this is the live model itself" if measured.live.same else "nothing is live"
        verdict.notes.append(f"max_loss_to_live of {', '.join(wants_live)} was not judged: {why}")
    for metric, threshold in config.thresholds.items():
        judge = _Judge(measured, config, metric, threshold)
        verdict.judgements.extend(judge.part(measured.whole))
        for name in threshold.slices:
            verdict.judgements.extend(judge.slices(name))
            verdict.notes.extend(judge.unjudged_slice_notes(name))
    verdict.judgements.sort(key=lambda judgement: judgement.slice != "")
    judgements: list[Judgement | BaselineJudgement] = [*verdict.judgements, *verdict.baselines]
    verdict.notes.extend(each.sentence for each in judgements if each.passed is not False and each.sentence)
    return verdict


def describe_verdict(measured: Measurements, verdict: Verdict, config: EvaluationConfig) -> str:
    """The verdict as one sentence."""
    if verdict.failures:
        where = "thresholds" if all(one.passed for one in verdict.baselines) else "thresholds and baselines"
        more = f" (and {len(verdict.failures) - 1} more, see {where})" if len(verdict.failures) > 1 else ""
        return f"not blessed: {verdict.failures[0]}{more}"
    rows = f"the {measured.whole.rows} {measured.split} rows"
    judged = sum(judgement.passed is True for judgement in verdict.judgements)
    better = [judgement.title for judgement in verdict.baselines if judgement.better]
    beaten = f"better than {' and '.join(better)}" if better else ""
    if not judged and beaten:
        why = "no threshold could be judged" if config.thresholds else "evaluation.thresholds is empty"
        return f"blessed: {beaten} on {rows}; {why}"
    if not judged:
        why = "no threshold could be judged" if config.thresholds else "evaluation.thresholds is empty"
        return f"blessed without a test of quality on {rows}: {why}"
    thresholds = {1: "the threshold is", 2: "both thresholds are"}.get(judged, f"all {judged} thresholds are")
    return f"blessed: {thresholds} met on {rows}{beaten and f', {beaten}'}"


def _judge_finiteness(measured: Measurements) -> Iterator[Judgement]:
    """A model that predicts NaN or infinity for some row is not good enough, whatever the thresholds are."""
    broken, rows = measured.whole.not_finite, measured.whole.rows
    if broken:
        place = threshold_messages.describe_rows(measured, measured.whole)
        sentence = f"{broken} of the predictions {place} are NaN or infinite, so no metric of the model is valid"
        yield Judgement("not_finite_count", "", rows, "max", 0.0, float(broken), passed=False, sentence=sentence)


def _live_model_notes(measured: Measurements) -> Iterator[str]:
    """Notes for the user about the comparison as a whole."""
    live = measured.live
    if live.why_not:
        yield f"the live model (version {live.version}) cannot be compared: {live.why_not}"
    elif live.same:
        yield f"this model is live already, as version {live.version}: there is nothing to compare it with"
    elif not live.version:
        yield NOTHING_LIVE
    if live.labels is not None and measured.whole.comparison is not None:
        compared, rows = measured.whole.comparison.rows, measured.whole.rows
        how = (
            f"on the {compared} of {rows} {measured.split} rows whose label both know"
            if measured.task == "single_label"
            else "by the labels that both know"
        )
        known = ", ".join(live.labels[:10]) + (", …" if len(live.labels) > 10 else "")
        yield f"the live model (version {live.version}) has other labels: it is compared {how} ({known})"


@dataclass(frozen=True)
class _Judge:
    """Judges one metric by its threshold."""

    measured: Measurements
    config: EvaluationConfig
    metric: str
    threshold: ThresholdConfig

    def slices(self, name: str) -> Iterator[Judgement]:
        """Judges one of the threshold's slices: all values of a column, or one of them."""
        matching = self._matching(name)
        for part in matching:
            if part.rows >= self.config.min_slice_size:
                yield from self.part(part)
        # A value may be missing from a column on some days, but a slice that names one requires it (or is misspelt).
        if not matching and "=" in name:
            sentence = f"{self.metric} cannot be judged on slice {name}: no {self.measured.split} row is in it"
            for bound, limit in self._limits():
                yield Judgement(self.metric, name, 0, bound, limit, passed=False, sentence=sentence)

    def unjudged_slice_notes(self, name: str) -> Iterator[str]:
        """Notes about a slice that does not exist or is too small."""
        matching, least = self._matching(name), self.config.min_slice_size
        if not matching and "=" not in name:
            yield f"{self.metric} was not judged on slice {name}: no row is in it"
        small = [part for part in matching if part.rows < least]
        if small:
            named = ", ".join(f"{part.name} ({part.rows} rows)" for part in small[:3])
            more = f" and {len(small) - 3} more" if len(small) > 3 else ""
            yield f"{self.metric} was not judged on slice {named}{more}: evaluation.min_slice_size is {least}"

    def _matching(self, name: str) -> list[Slice]:
        return sorted((part for part in self.measured.slices if name in (part.column, part.name)), key=natural_order)

    def _limits(self) -> Iterator[tuple[Bound, float]]:
        bounds: tuple[Bound, ...] = ("min", "max", "max_loss_to_live")
        limits = ((bound, getattr(self.threshold, bound)) for bound in bounds)
        return ((bound, limit) for bound, limit in limits if limit is not None)

    def part(self, part: Slice) -> Iterator[Judgement]:
        """Judges a slice, or all rows."""
        live = self.measured.live
        for bound, limit in self._limits():
            value = part.metrics.get(self.metric, math.nan)
            judgement = Judgement(self.metric, part.name, part.rows, bound, limit, finite_or_none(value))
            if bound != "max_loss_to_live":
                yield self._judge_value(judgement, part, value)
            elif live.why_not:
                yield self._incomparable(judgement, part, live.why_not)
            elif part.comparison is not None:
                yield self._judge_loss(limit, part, part.comparison)

    def _judge_value(self, judgement: Judgement, part: Slice, value: float) -> Judgement:
        bound, limit = judgement.bound, judgement.limit
        place = threshold_messages.describe_rows(self.measured, part)
        if not math.isfinite(value):
            return self._undefined(judgement, part, place)
        if (limit - value if bound == "min" else value - limit) <= _ROUNDING:
            return judgement
        sentence = threshold_messages.out_of_bounds(self.metric, place, bound, limit, value)
        return replace(judgement, passed=False, sentence=sentence)

    def _undefined(self, judgement: Judgement, part: Slice, place: str) -> Judgement:
        """A metric that cannot be computed fails, except on a slice whose rows do not define it for any model."""
        passed = False if not part.column or self.metric in part.unreached else None
        sentence = f"{self.metric} {place} cannot be computed, so its {judgement.bound} cannot be judged"
        return replace(judgement, passed=passed, sentence=sentence)

    def _judge_loss(self, limit: float, part: Slice, comparison: Comparison) -> Judgement:
        metric, live, rows = self.metric, self.measured.live, comparison.rows
        value, old = comparison.candidate.get(metric, math.nan), comparison.live.get(metric, math.nan)
        place = threshold_messages.describe_rows(self.measured, part, rows)
        values = finite_or_none(value), finite_or_none(old)
        judgement = Judgement(metric, part.name, rows, "max_loss_to_live", limit, *values)
        why = self._why_live_value_is_missing(value, old)
        if not rows and (part.name in self.threshold.slices or not part.column):
            why = "none of these rows has a label that it knows"
        if why:
            return self._incomparable(judgement, part, why)
        if part.column and rows < self.config.min_slice_size:
            least = f"evaluation.min_slice_size is {self.config.min_slice_size}"
            sentence = f"max_loss_to_live of {metric} was not judged {place}, of which too few can be compared: {least}"
            return replace(judgement, passed=None, sentence=sentence)
        if not math.isfinite(value):
            return self._undefined(judgement, part, place)
        loss = old - value if direction(self.measured.task, metric) == "higher" else value - old
        interval = comparison.losses.get(metric)
        judgement = replace(judgement, loss=loss, interval=interval)
        if loss - limit > _ROUNDING:
            sentence = threshold_messages.worse(metric, place, limit, value, old, live, interval)
            if interval is None or limit < 0 or interval[0] > _ROUNDING:
                return replace(judgement, passed=False, sentence=sentence)
            chance = "on so few rows this may be chance, so it passes; more rows would decide"
            return replace(judgement, sentence=f"{sentence}: {chance}")
        if interval is not None and interval[1] - limit > _ROUNDING and not part.column:
            return replace(judgement, sentence=threshold_messages.may_be_worse(metric, place, limit, interval))
        return judgement

    def _why_live_value_is_missing(self, value: float, old: float) -> str:
        """Why the live model has no such metric; "" if it has, or if the candidate has none either."""
        _, slash, label = self.metric.partition("/")
        labels = self.measured.live.labels
        if slash and labels is not None and label not in labels:
            return f"it does not know the label {label!r}"
        return f"its {self.metric} cannot be computed there" if math.isfinite(value) and not math.isfinite(old) else ""

    def _incomparable(self, judgement: Judgement, part: Slice, why: str) -> Judgement:
        """A comparison that cannot be made fails, unless the user allows it."""
        place = threshold_messages.describe_rows(self.measured, part)
        live = f"the live model (version {self.measured.live.version})"
        sentence = f"{self.metric} {place} cannot be compared with {live}: {why}"
        if self.config.replace_incomparable:
            allowed = f"{sentence}; it passes because evaluation.replace_incomparable is true"
            return replace(judgement, passed=None, sentence=allowed)
        how = f"to replace it nevertheless: {threshold_messages.OVERRIDE}"
        return replace(judgement, passed=False, sentence=f"{sentence}; {how}")
