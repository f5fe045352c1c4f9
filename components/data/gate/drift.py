"""How the data have changed since the live model was trained: a small summary, and its distance from new data.

The summary is stored with every pushed model as `assets.extra/data_summary.json`. The distance is the Jensen-Shannon
divergence with logarithms to base 2 (Lin, 1991), from 0 (the same) to 1 (nothing in common). No TensorFlow.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.config import GateConfig
from components.data.categorical import is_categorical
from components.data.gate.counts import SplitFacts
from components.data.gate.findings import Finding
from models.config import TaskConfig
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.json_text import to_json

SUMMARY_FILE = "data_summary.json"


def summarize(facts: SplitFacts) -> dict[str, Any]:
    """Distributions of a split, as JSON: labels (or deciles of the numbers), text lengths, the other columns' values.

    Columns whose values hardly repeat (identifiers, addresses) are left out.
    """
    columns: dict[str, dict[str, Any]] = {}
    if facts.task.type == "regression":
        edges = np.unique(np.quantile(facts.numbers, np.linspace(0.1, 0.9, 9))).tolist() if facts.rows else []
        columns[facts.task.label] = {"kind": "number", "edges": edges, "counts": bin_counts(facts.numbers, edges)}
    else:
        columns[facts.task.label] = {"kind": "value", "counts": dict(facts.labels.most_common())}
    for column in (facts.task.text, facts.task.text_pair):
        if column is not None:
            columns[column] = {"kind": "length", "counts": bin_counts(facts.lengths(column), LENGTH_EDGES)}
    for column, values in facts.values.items():
        if "" not in values and is_categorical(len(values), values.total()):
            counts = {**dict(values.most_common()), "": facts.rows - values.total()}  # "": no value
            columns[column] = {"kind": "value", "counts": counts}
    return {"rows": facts.rows, "columns": columns, "task": _task_roles(facts.task)}


def _task_roles(task: TaskConfig) -> dict[str, str]:
    """Role ("text", "text_pair", "label") to column."""
    roles = {"text": task.text, "text_pair": task.text_pair, "label": task.label}
    return {role: column for role, column in roles.items() if column is not None}


LENGTH_EDGES = [2 ** (half / 2) for half in range(41)]
"""Edges of the bins of text lengths, in characters: 1, 1.4, 2, 2.8, 4 … a million."""


def bin_counts(values: np.ndarray, edges: list[float]) -> list[int]:
    """The number of values below the first edge, between each two, and from the last one on."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return [int(count) for count in counts]


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence, base 2, of two histograms [N] of counts; 0 if one of them is empty."""
    if not p.sum() or not q.sum():
        return 0.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2

    def divergence_from_middle(a: np.ndarray) -> float:
        positive = a > 0
        return float((a[positive] * np.log2(a[positive] / middle[positive])).sum())

    return (divergence_from_middle(p) + divergence_from_middle(q)) / 2


def find_drift(live: Mapping[str, Any], facts: SplitFacts, gate: GateConfig) -> Iterator[Finding]:
    """The columns of the training split whose distribution differs from that in the live model's training split.

    Args:
        live: the result of `summarize` for the live model's training split. Its text, pair and label columns are
            compared with those of this task, whatever the columns' names.
    """
    for column, before, distance, changes in distances(live, facts):
        if distance <= gate.drift_threshold:
            continue
        what = {"length": "text lengths", "number": "labels", "value": "values"}[before["kind"]]
        yield Finding(
            "drift",
            gate.drift,
            "train",
            column,
            f"the distribution of {what} differs from that in the live model's training data: divergence "
            f"{distance:.3f}, threshold {gate.drift_threshold:g}",
            of=facts.rows,
            examples=changes,
            fix="check whether the data are as intended; if so, raise gate.drift_threshold",
        )


def distances(
    live: Mapping[str, Any], facts: SplitFacts
) -> Iterator[tuple[str, Mapping[str, Any], float, tuple[str, ...]]]:
    """Of each column that can be compared with the live model's data: its name, its summary there, the divergence, and
    what has changed most. `live`: see `find_drift`."""
    for column, before in _same_roles(live, facts.task):
        old, new, names = _histograms(before, column, facts)
        changes = tuple(_changes(old, new, names)) if old.sum() and new.sum() else ()
        yield column, before, divergence(old, new), changes


def _same_roles(live: Mapping[str, Any], task: TaskConfig) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Column of the new data to the summary of the live model's column that it is compared with.

    Columns without a counterpart are left out: a text or label that only one of the tasks has, labels against numbers,
    and a column that one task reads and the other does not.
    """
    was, now = live.get("task") or _guess_roles(live["columns"]), _task_roles(task)
    label_kind = "number" if task.type == "regression" else "value"
    for column, before in live["columns"].items():
        role = next((role for role, name in was.items() if name == column), None)
        if role is None:
            if column not in now.values():
                yield column, before
        elif role in now and (role != "label" or before["kind"] == label_kind):
            yield now[role], before


def _guess_roles(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The roles of a summary that does not name them: the label comes first, then the texts, then all others."""
    texts = [column for column in columns if columns[column]["kind"] == "length"]
    return {**dict(zip(("label",), columns, strict=False)), **dict(zip(("text", "text_pair"), texts, strict=False))}


def _histograms(before: Mapping[str, Any], column: str, facts: SplitFacts) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Counts of the live model's data and of the new data over the same bins, and the bins' names."""
    if before["kind"] == "value":
        is_label = column == facts.task.label
        counts = facts.labels if is_label else facts.values.get(column, Counter())
        names = list(before["counts"])
        known = [counts.get(name, 0) for name in names]
        if not is_label:
            known[names.index("")] = facts.rows - sum(counts.values())
        others = sum(count for name, count in counts.items() if not name or name not in before["counts"])
        shown = [name or "no value" for name in names]
        return np.array([*before["counts"].values(), 0.0]), np.array([*known, others]), [*shown, "other values"]
    edges = LENGTH_EDGES if before["kind"] == "length" else before["edges"]
    values = facts.lengths(column) if before["kind"] == "length" else facts.numbers
    unit = " characters" if before["kind"] == "length" else ""
    bounds = [f"{edge:.4g}" for edge in edges]
    between = [f"{low} to {high}{unit}" for low, high in itertools.pairwise(bounds)]
    names = [f"below {bounds[0]}{unit}", *between, f"{bounds[-1]}{unit} or more"] if bounds else ["any"]
    return np.array(before["counts"], float), np.array(bin_counts(values, edges), float), names


def _changes(old: np.ndarray, new: np.ndarray, names: list[str]) -> Iterator[str]:
    """The three bins whose share has changed most."""
    before, after = old / old.sum(), new / new.sum()
    for index in np.argsort(-np.abs(after - before))[:3]:
        yield f"{names[index]}: {before[index]:.1%} before, {after[index]:.1%} now"


def save_summary(summary: Mapping[str, Any], directory: Path | str) -> None:
    """Writes `data_summary.json`."""
    Path(directory, SUMMARY_FILE).write_text(to_json(summary) + "\n", encoding="utf-8")


def load_summary(model: Path | str) -> dict[str, Any] | None:
    """The summary stored with a SavedModel, None if there is none."""
    path = Path(model, EXTRA_FOLDER, SUMMARY_FILE)
    if not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary
