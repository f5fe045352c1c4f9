"""What the data are like, for the report: rows, labels, lengths, and the distance from what the live model learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.data.gate.counts import SplitFacts, shorten
from components.data.gate.drift import LENGTH_EDGES, bin_counts, distances
from components.report_files import DATA_FILE
from tflite.host.json_text import to_json

_MOST_LABELS, _FEWEST_LABELS, _MOST_COLUMNS = 40, 10, 40
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 30


def describe_data(
    splits: Mapping[str, SplitFacts], live: Mapping[str, Any] | None = None, live_version: int = 0
) -> dict[str, Any]:
    """The splits as plain JSON of a limited size, and the divergence of each column from the live model's data.

    Args:
        splits: by name.
        live: the summary of the live model's training data; None if there is none.
        live_version: of the live model.
    """
    train = splits.get("train")
    drift = [] if live is None or train is None else list(distances(live, train))
    return {
        "splits": {name: _split(facts) for name, facts in splits.items()},
        "drift": [
            {"column": column, "kind": before["kind"], "divergence": distance, "changes": list(changes)}
            for column, before, distance, changes in drift
        ],
        "live_version": live_version if live is not None else 0,
    }


def save_data(described: Mapping[str, Any], folder: Path | str) -> None:
    """Writes `data.json`."""
    Path(folder, DATA_FILE).write_text(to_json(described, indent=1) + "\n", encoding="utf-8")


def _split(facts: SplitFacts) -> dict[str, Any]:
    task = facts.task
    columns = [column for column in (task.text, task.text_pair) if column is not None]
    found: dict[str, Any] = {
        "rows": facts.rows,
        "empty": {column: facts.empty[column] for column in columns},
        "lengths": {column: _lengths(facts.lengths(column)) for column in columns},
        "columns": {shorten(column): len(values) for column, values in list(facts.values.items())[:_MOST_COLUMNS]},
    }
    if task.type == "regression":
        return {**found, "numbers": _numbers(facts.numbers)}
    return {**found, "labels": _labels(facts)}


def _labels(facts: SplitFacts) -> dict[str, Any]:
    """The most frequent labels and the rarest ones, each with its rows."""
    ordered = sorted(facts.labels.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[_MOST_LABELS:]
    fewest = rest[-_FEWEST_LABELS:]
    return {
        "count": len(ordered),
        "most": [[label, rows] for label, rows in ordered[:_MOST_LABELS]],
        "fewest": [[label, rows] for label, rows in fewest],
        "other_rows": sum(rows for _, rows in rest),
        "sets": facts.distinct_targets,
    }


def _lengths(lengths: np.ndarray) -> dict[str, Any]:
    """Of N texts in characters: a histogram over `edges` (a bin before the first, one after the last) and quantiles."""
    counts = bin_counts(lengths, LENGTH_EDGES)
    used = [index for index, count in enumerate(counts) if count]
    low, high = (max(0, used[0] - 1), used[-1] + 1) if used else (0, 0)
    return {"edges": LENGTH_EDGES[low:high], "counts": counts[low : high + 1], "quantiles": _quantiles(lengths)}


def _numbers(numbers: np.ndarray) -> dict[str, Any]:
    finite = numbers[np.isfinite(numbers)]
    counts, edges = np.histogram(finite, _BINS) if len(finite) else (np.zeros(0, int), np.zeros(0))
    # The outermost bins include their bounds.
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "mean": float(finite.mean()) if len(finite) else None,
        "deviation": float(finite.std()) if len(finite) else None,
        "quantiles": _quantiles(finite),
    }


def _quantiles(values: Iterable[float] | np.ndarray) -> list[float]:
    """The lowest value, the quantiles 0.05, 0.25, 0.5, 0.75 and 0.95, and the highest value; empty without values."""
    found = np.asarray(values, np.float64)
    return np.quantile(found, _QUANTILES).tolist() if len(found) else []
