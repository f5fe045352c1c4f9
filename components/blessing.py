"""Whether a model is good enough, why, and the summary of an evaluation. Imports neither TensorFlow nor TFX.

The Evaluator stores the summary as `summary.json` in its artifact, so that whoever reads it needs no TFMA.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from components.config import EvaluationConfig, ThresholdConfig
from components.thresholds import direction
from models.asking import TaskType

FILE_NAME = "summary.json"
Bound = Literal["min", "max", "max_loss_to_live"]

_ROUNDING = 1e-9
"""Slack of a comparison: 0.82 - 0.80 is a little more than 0.02 in binary."""


@dataclass(frozen=True)
class Slice:
    """The figures of some rows.

    Attributes:
        column: what the rows have in common; "" for all rows.
        value: its value.
        metrics: the candidate's figures.
        live: the live model's figures on the same rows; None where it was not measured.
    """

    column: str
    value: str
    metrics: Mapping[str, float]
    live: Mapping[str, float] | None = None

    @property
    def rows(self) -> int:
        """Rows that have an answer."""
        return int(self.metrics["example_count"])

    @property
    def name(self) -> str:
        """ "column=value", or "" for all rows."""
        return f"{self.column}={self.value}" if self.column else ""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        task: `task.type`.
        split: name of the split whose rows were taken.
        labels: labels in the order of the outputs.
        whole: all rows.
        slices: every slice, small ones too, in any order.
        confusion: answer by prediction: [C + 1, C] for one label a row (the last row: answers that the model does not
            know), [C, 2, 2] for many; None for a regression.
        live_version: version of the live model that was compared; 0: none.
        notes: sentences that the user should hear.
    """

    task: TaskType
    split: str
    labels: tuple[str, ...]
    whole: Slice
    slices: tuple[Slice, ...] = ()
    confusion: list[Any] | None = None
    live_version: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """One threshold on one slice.

    Attributes:
        metric: its name.
        slice: "column=value", or "" for all rows.
        rows: rows of the slice.
        bound: which of the threshold's parts.
        limit: what it asks for.
        value: what the candidate has; None: it cannot be computed on these rows.
        live: what the live model has, for `max_loss_to_live`.
        passed: None: it could not be judged, which does not count against the model.
        sentence: what is wrong; empty where it passed.
    """

    metric: str
    slice: str
    rows: int
    bound: Bound
    limit: float
    value: float | None
    live: float | None = None
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


def judge(measured: Measured, config: EvaluationConfig) -> Verdict:
    """Holds what was measured against `evaluation.thresholds`.

    A threshold is judged on all rows always, and on the slices it names where they have `min_slice_size` rows. A
    figure that cannot be computed (NaN) fails on all rows; on a slice it is left out, with a note: a ROC curve of
    rows that all have one label does not exist.
    """
    verdict = Verdict(notes=list(measured.notes))
    if not config.thresholds:
        verdict.notes.append("evaluation.thresholds is empty: any model is blessed")
    wants_live = [name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None]
    if wants_live and measured.whole.live is None:
        verdict.notes.append(f"max_loss_to_live of {', '.join(wants_live)} was not judged: no live model was measured")
    for metric, threshold in config.thresholds.items():
        verdict.judgements.extend(_judge_slice(measured, metric, threshold, measured.whole))
        for name in threshold.slices:
            matching = [part for part in measured.slices if name in (part.column, part.name)]
            large = [part for part in matching if part.rows >= config.min_slice_size]
            for part in sorted(large, key=_natural):
                verdict.judgements.extend(_judge_slice(measured, metric, threshold, part))
            verdict.notes.extend(_not_judged(metric, name, matching, large, config.min_slice_size))
    verdict.judgements.sort(key=lambda judgement: judgement.slice != "")
    verdict.notes.extend(judgement.sentence for judgement in verdict.judgements if judgement.passed is None)
    return verdict


def summarize(measured: Measured, config: EvaluationConfig) -> dict[str, Any]:
    """The evaluation as plain JSON: figures, slices, thresholds, verdict. A figure that cannot be computed is null."""
    verdict = judge(measured, config)
    slices = sorted(measured.slices, key=_natural)
    reported = [part for part in slices if part.column in config.slices]
    live = measured.whole.live
    return {
        "task": measured.task,
        "split": measured.split,
        "rows": measured.whole.rows,
        "labels": list(measured.labels),
        "metrics": _overall(measured.whole.metrics),
        "per_label": _per_label(measured.whole.metrics, measured.labels),
        "live_version": measured.live_version,
        "baseline": None if live is None else _overall(live),
        "slices": [_slice(part) for part in reported if part.rows >= config.min_slice_size],
        "small_slices": [
            {"slice": part.name, "column": part.column, "value": part.value, "rows": part.rows}
            for part in reported
            if part.rows < config.min_slice_size
        ],
        "min_slice_size": config.min_slice_size,
        "confusion": measured.confusion,
        "thresholds": [asdict(judgement) for judgement in verdict.judgements],
        "notes": verdict.notes,
        "blessed": verdict.blessed,
        "verdict": sentence(measured, verdict),
    }


def sentence(measured: Measured, verdict: Verdict) -> str:
    """The verdict as one sentence."""
    missed = [judgement for judgement in verdict.judgements if judgement.passed is False]
    if missed:
        more = f" (and {len(missed) - 1} more, see thresholds)" if len(missed) > 1 else ""
        return f"not blessed: {missed[0].sentence}{more}"
    rows = f"the {measured.whole.rows} {measured.split} rows"
    judged = sum(judgement.passed is True for judgement in verdict.judgements)
    if not judged:
        return f"blessed without a test of quality on {rows}: no threshold could be judged"
    return f"blessed: {'the threshold is' if judged == 1 else f'all {judged} thresholds are'} met on {rows}"


def save_summary(summary: Mapping[str, Any], directory: Path | str) -> None:
    """Writes `summary.json`."""
    text = json.dumps(summary, ensure_ascii=False, indent=1, allow_nan=False)
    Path(directory, FILE_NAME).write_text(text + "\n", encoding="utf-8")


def load_summary(directory: Path | str) -> dict[str, Any]:
    """Reads what `save_summary` wrote."""
    summary: dict[str, Any] = json.loads(Path(directory, FILE_NAME).read_text(encoding="utf-8"))
    return summary


def _judge_slice(measured: Measured, metric: str, threshold: ThresholdConfig, part: Slice) -> Iterator[Judgement]:
    better = direction(measured.task, metric)
    where = f"on slice {part.name} ({part.rows} rows)" if part.column else f"on the {part.rows} {measured.split} rows"
    value = part.metrics.get(metric, math.nan)
    live = math.nan if part.live is None else part.live.get(metric, math.nan)
    bounds: list[tuple[Bound, float | None]] = [("min", threshold.min), ("max", threshold.max)]
    if part.live is not None:
        bounds.append(("max_loss_to_live", threshold.max_loss_to_live))
    for bound, limit in bounds:
        if limit is None:
            continue
        old = live if bound == "max_loss_to_live" else None
        loss = _loss(bound, limit, value, live, better)
        complaint = ""
        passed: bool | None = loss <= _ROUNDING
        if math.isnan(loss):
            passed = None if part.column else False
            complaint = f"{metric} {where} cannot be computed, so its {bound} cannot be judged"
        elif not passed:
            complaint = _complaint(metric, where, bound, limit, value, live, measured.live_version)
        yield Judgement(metric, part.name, part.rows, bound, limit, _number(value), _number(old), passed, complaint)


def _loss(bound: Bound, limit: float, value: float, live: float, better: str) -> float:
    """How far the value is beyond its bound; at most 0 where it is within."""
    if bound == "min":
        return limit - value
    if bound == "max":
        return value - limit
    return (live - value if better == "higher" else value - live) - limit


def _complaint(metric: str, where: str, bound: Bound, limit: float, value: float, live: float, version: int) -> str:
    asked = _exactly(limit)
    if bound == "max_loss_to_live":
        worse, new, old = _apart(abs(value - live), limit), _apart(value, live), _apart(live, value)
        return (
            f"{metric} {new} {where} is {worse} worse than the {old} of the live model (version {version}), "
            f"where {asked} is allowed"
        )
    relation = "below" if bound == "min" else "above"
    return f"{metric} {_apart(value, limit)} {where} is {relation} the {asked} that evaluation.thresholds asks for"


def _exactly(number: float) -> str:
    """A number from the configuration, with all its decimals and at least two."""
    return max(f"{number:.2f}", repr(number), key=len)


def _apart(number: float, other: float) -> str:
    """A measured number, with at least two decimals and as many as tell it apart from another."""
    texts = (f"{number:.{decimals}f}" for decimals in range(2, 10))
    return next(
        (text for text in texts if (float(text) < other) == (number < other) and float(text) != other), str(number)
    )


def _not_judged(metric: str, name: str, matching: list[Slice], large: list[Slice], least: int) -> Iterator[str]:
    if not matching:
        yield f"{metric} was not judged on slice {name}: no row is in it"
    small = sorted((part for part in matching if part not in large), key=_natural)
    if small:
        named = ", ".join(f"{part.name} ({part.rows} rows)" for part in small[:3])
        more = f" and {len(small) - 3} more" if len(small) > 3 else ""
        yield f"{metric} was not judged on slice {named}{more}: evaluation.min_slice_size is {least}"


def _natural(part: Slice) -> tuple[Any, ...]:
    """Sorts slices by column, then by value with numbers in numeric order ("16-31" before "128-255")."""
    pieces = re.split(r"(\d+)", part.value)
    return part.column, [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces if piece]


def _slice(part: Slice) -> dict[str, Any]:
    return {
        "slice": part.name,
        "column": part.column,
        "value": part.value,
        "rows": part.rows,
        "metrics": _overall(part.metrics),
        "baseline": None if part.live is None else _overall(part.live),
    }


def _overall(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The figures that are not of one label."""
    return {name: _number(value) for name, value in metrics.items() if "/" not in name}


def _per_label(metrics: Mapping[str, float], labels: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """Label to its figures; a label that is neither an answer nor a prediction has none."""
    table: dict[str, dict[str, float | None]] = {label: {} for label in labels}
    for name, value in metrics.items():
        family, slash, label = name.partition("/")
        if slash:
            table[label][family] = _number(value)
    return table


def _number(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or math.isnan(value) else value
