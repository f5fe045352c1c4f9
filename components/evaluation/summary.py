"""An evaluation as plain JSON, as in `run.json` and every report. Imports neither TensorFlow nor TFX.

The Evaluator stores it as `summary.json` in its artifact, so that readers do not need TFMA.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.config import EvaluationConfig
from components.evaluation.measurements import INTERVAL, Comparison, Measurements, Slice, finite_or_none, natural_order
from components.evaluation.thresholds import LABEL_SLICE, NOT_BY_LABEL, UNCALIBRATED
from components.evaluation.verdict import Verdict, describe_verdict, reach_verdict
from components.report_files import EVALUATION_FILE
from tflite.host.json_text import to_json

UNKNOWN_LABELS = "(labels that the model does not know)"


def summarize(measured: Measurements, config: EvaluationConfig) -> dict[str, Any]:
    """The evaluation as plain JSON: metrics, slices, thresholds, verdict. A metric that cannot be computed is null."""
    verdict = reach_verdict(measured, config)
    slices = sorted(measured.slices, key=natural_order)
    reported = [part for part in slices if part.column in config.slices]
    return {
        "task": measured.task,
        "split": measured.split,
        "rows": measured.whole.rows,
        "labels": list(measured.labels),
        "metrics": _overall(measured.whole.metrics),
        "per_label": _per_label(measured.whole.metrics, measured.labels),
        "baselines": _baselines(measured, verdict),
        "live_version": measured.live.version,
        "baseline": _baseline(measured.whole),
        "comparison": _comparison(measured),
        "slices": [_slice(part) for part in reported if part.rows >= config.min_slice_size],
        "small_slices": [
            {"slice": part.name, "column": part.column, "value": part.value, "rows": part.rows}
            for part in reported
            if part.rows < config.min_slice_size
        ],
        "min_slice_size": config.min_slice_size,
        "confusion": _confusion(measured),
        "thresholds": [asdict(judgement) for judgement in verdict.judgements],
        "notes": verdict.notes,
        "blessed": verdict.blessed,
        "verdict": describe_verdict(measured, verdict, config),
    }


def save_summary(summary: Mapping[str, Any], directory: Path | str) -> None:
    """Writes `summary.json`."""
    Path(directory, EVALUATION_FILE).write_text(to_json(summary, indent=1) + "\n", encoding="utf-8")


def load_summary(directory: Path | str) -> dict[str, Any]:
    """Reads what `save_summary` wrote."""
    summary: dict[str, Any] = json.loads(Path(directory, EVALUATION_FILE).read_text(encoding="utf-8"))
    return summary


def _comparison(measured: Measurements) -> dict[str, Any]:
    """The live model, the rows and labels of the comparison, both models' metrics there, and the intervals."""
    live, comparison = measured.live, measured.whole.comparison
    state: dict[str, Any] = {"version": live.version, "same_model": live.same, "why_not": live.why_not}
    if comparison is None:
        return state
    return state | {
        "rows": comparison.rows,
        "labels": None if live.labels is None else list(live.labels),
        "candidate": _overall(comparison.candidate),
        "live": _overall(comparison.live),
        "interval": INTERVAL,
        "losses": _losses(comparison),
    }


def _baselines(measured: Measurements, verdict: Verdict) -> dict[str, dict[str, Any]]:
    """By name, each baseline that was asked for: its metrics, and how the model compares. Empty if none was."""
    facts, found = measured.baselines, {}
    for judgement in verdict.baselines:
        comparison = measured.whole.baselines.get(judgement.name)
        found[judgement.name] = asdict(judgement) | {
            "interval": None if judgement.interval is None else list(judgement.interval),
            "all_train_rows": facts.all_rows if facts is not None else 0,
            "interval_share": INTERVAL,
            "warns": judgement.warns,
            "metrics": {} if comparison is None else _overall(comparison.live),
        }
    return found


def _losses(comparison: Comparison) -> dict[str, list[float]]:
    return {name: list(bounds) for name, bounds in comparison.losses.items()}


def _confusion(measured: Measurements) -> dict[str, Any] | None:
    """The counts with the names of their rows and columns."""
    if measured.confusion is None:
        return None
    labels = list(measured.labels)
    if measured.task == "multi_label":
        return {"labels": labels, "answers": ["no", "yes"], "predictions": ["no", "yes"], "counts": measured.confusion}
    return {"answers": [*labels, UNKNOWN_LABELS], "predictions": labels, "counts": measured.confusion}


def _slice(part: Slice) -> dict[str, Any]:
    return {
        "slice": part.name,
        "column": part.column,
        "value": part.value,
        "rows": part.rows,
        "metrics": _slice_metrics(part, part.metrics),
        "baseline": _baseline(part),
        "losses": {} if part.comparison is None else _losses(part.comparison),
        "baselines": {name: _slice_metrics(part, found.live) for name, found in part.baselines.items()},
    }


def _baseline(part: Slice) -> dict[str, float | None] | None:
    """The live model's metrics, on the rows that can be compared."""
    return None if part.comparison is None else _slice_metrics(part, part.comparison.live)


def _slice_metrics(part: Slice, metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The overall metrics of the model as it is; in a slice by label, only those that mean something there."""
    overall = {name: value for name, value in _overall(metrics).items() if not name.startswith(UNCALIBRATED)}
    return {name: value for name, value in overall.items() if part.column != LABEL_SLICE or name not in NOT_BY_LABEL}


def _overall(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The metrics that are not about a single label."""
    return {name: finite_or_none(value) for name, value in metrics.items() if "/" not in name}


def _per_label(metrics: Mapping[str, float], labels: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """Label to its metrics; empty for a label that is neither a target nor a prediction."""
    table: dict[str, dict[str, float | None]] = {label: {} for label in labels}
    for name, value in metrics.items():
        family, slash, label = name.partition("/")
        if slash:
            table[label][family] = finite_or_none(value)
    return table
