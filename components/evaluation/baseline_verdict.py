"""Whether a model is better than the baselines. Imports neither TensorFlow nor TFX.

A model is better if its metric is, on the same rows. It is not asked that the bootstrap interval of the gain is above
0: on a few hundred rows that would stop every other good model. The interval is shown, and a note says where a gain
may be chance. With fewer than `FEWEST_ROWS` rows there is no interval: the measured gain alone decides, with a warning.

What cannot be compared does not pass if the severity is `error`: a baseline that could not be fitted, a model that
breaks on some rows, a metric that is undefined (the correlation of constant predictions).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from components.config import EvaluationConfig, Severity
from components.evaluation.measurements import (
    FEWEST_ROWS,
    INTERVAL,
    MAJORITY,
    BaselineFacts,
    Comparison,
    Measurements,
    finite_or_none,
)
from components.evaluation.threshold_messages import describe_rows, distinct
from components.evaluation.thresholds import direction

_ROUNDING = 1e-9


@dataclass(frozen=True)
class BaselineJudgement:
    """The model against one baseline, on all evaluated rows.

    Attributes:
        name: "majority" or "linear".
        severity: the configured one.
        answer: what the baseline answers.
        train_rows: the training rows that it was fitted on.
        metric: by which they were compared; "" if they could not be.
        rows: the rows on which both were measured.
        value, baseline: the metric of the model, and of the baseline.
        gain, interval: how much better the model is, negative if it is worse, and the bootstrap interval of that.
        better: whether it is; None if they could not be compared.
        passed: False if this keeps the model from being pushed.
        sentence: what is wrong or uncertain; empty if nothing is.
    """

    name: str
    severity: Severity
    answer: str
    train_rows: int
    metric: str = ""
    rows: int = 0
    value: float | None = None
    baseline: float | None = None
    gain: float | None = None
    interval: tuple[float, float] | None = None
    better: bool | None = None
    passed: bool = True
    sentence: str = ""

    @property
    def title(self) -> str:
        """The baseline, for sentences."""
        return f"the trivial answer ({self.answer})" if self.name == MAJORITY else self.answer

    @property
    def warns(self) -> bool:
        """Whether the user must be warned, although the model passes."""
        return self.passed and (not self.better or self.rows < FEWEST_ROWS)


def judge_baselines(measured: Measurements, config: EvaluationConfig) -> Iterator[BaselineJudgement]:
    """Compares the model with each baseline that the configuration asks for."""
    facts = measured.baselines
    if facts is None:
        return
    for name in facts.answers:
        yield _judge(measured, facts, name, getattr(config.baselines, name))


def _judge(measured: Measurements, facts: BaselineFacts, name: str, severity: Severity) -> BaselineJudgement:
    blank = BaselineJudgement(name, severity, facts.answers[name], facts.train_rows.get(name, 0))
    comparison = measured.whole.baselines.get(name)
    if name in facts.why_not or comparison is None or not comparison.rows:
        why = facts.why_not.get(name, f"it predicted none of the {measured.split} rows")
        return _finished(blank, None, f"the model cannot be compared with {blank.title}: {why}")
    place = describe_rows(measured, measured.whole, comparison.rows)
    metric = next((one for one in facts.metrics[name] if math.isfinite(comparison.live.get(one, math.nan))), "")
    if not metric:
        names = " nor ".join(facts.metrics[name])
        return _finished(blank, None, f"the model cannot be compared with {blank.title}: it has no {names} {place}")
    return _compared(blank, measured, comparison, metric, place)


def _compared(
    blank: BaselineJudgement, measured: Measurements, comparison: Comparison, metric: str, place: str
) -> BaselineJudgement:
    value, other = comparison.candidate.get(metric, math.nan), comparison.live[metric]
    sign = 1 if direction(measured.task, metric) == "higher" else -1
    gain = sign * (value - other)
    low, high = comparison.losses.get(metric, (math.nan, math.nan))
    # A loss is a negative gain.
    interval = (0.0 - high, 0.0 - low) if math.isfinite(low) else None
    found = replace(
        blank,
        metric=metric,
        rows=comparison.rows,
        value=finite_or_none(value),
        baseline=other,
        gain=finite_or_none(gain),
        interval=interval,
    )
    chance = (
        "" if interval is None else f" ({INTERVAL:.0%} interval of the gain: {interval[0]:+.3f} to {interval[1]:+.3f})"
    )
    if not math.isfinite(value):
        return _finished(found, False, f"{metric} {place} cannot be computed, so it is not better than {found.title}")
    if gain <= _ROUNDING:
        relation = "is not better than" if gain < -_ROUNDING else "equals"
        relation += f" the {distinct(other, value)} of {found.title}"
        return _finished(found, False, f"{metric} {distinct(value, other)} {place} {relation}{chance}")
    if comparison.rows < FEWEST_ROWS or (interval is not None and interval[0] <= 0):
        gained = (
            f"{metric} {distinct(value, other)} {place} is better than the {distinct(other, value)} of {found.title}"
        )
        return _finished(found, True, f"{gained}, but on so few rows this may be chance{chance}")
    return _finished(found, True, "")


def _finished(found: BaselineJudgement, better: bool | None, sentence: str) -> BaselineJudgement:
    passed = bool(better) or found.severity != "error"
    how = "" if passed else f"; to push it nevertheless: --set evaluation.baselines.{found.name}=warn"
    if passed and better is False:
        how = "; train longer, use a preset or a larger one, or get more labelled rows"
        if 0 < found.rows < FEWEST_ROWS:
            how = f"; {found.rows} rows say little: get more of them before you judge the model"
        if found.value == found.baseline == 0 and found.metric != "mse":
            how = "; not one answer is right: do these rows have the labels of the training rows?"
    return replace(found, better=better, passed=passed, sentence=f"{sentence}{how}")
