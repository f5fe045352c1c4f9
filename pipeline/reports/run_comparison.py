"""Two runs side by side: settings, data, metrics, and what each of their models says of the rows that both measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from components.evaluation.comparison import Baseline, compare
from components.evaluation.measurements import MODEL
from components.evaluation.thresholds import direction
from components.predictions.examined_rows import interval_metrics
from components.predictions.row_outcomes import RowOutcomes, mcnemar, rebuild_targets
from components.predictions.stored_predictions import PredictedRows, PredictionFacts, StoredPredictions
from components.predictions.wrong_rows import answer
from components.report.sections.model_origin import changed_settings
from models.config import TaskConfig
from models.errors import ConfigError
from pipeline.reports.error_rows import explained_damage, predictions_of
from pipeline.runs.run_records import RunRecord

SHARE, MOST_LISTED = 0.95, 200
_MOST_ROWS, _DRAWS = 50_000, 300
_SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class ChangedRow:
    """A row that one model gets right and the other does not; of a regression, one whose error changed most."""

    text: str
    text_pair: str | None
    given: str
    before: str
    after: str


@dataclass(frozen=True)
class RunComparison:
    """What is different in the second run.

    Attributes:
        before, after: the runs.
        settings: (key, before, after) of each setting that differs.
        splits: (split, rows before, rows after).
        files: (file, "changed", "new" or "gone") of the tables, by their digests.
        shared: rows that both measured; `only_before`, `only_after`: rows that only one did.
        relabelled: shared rows whose label or number was corrected in between; the later one counts.
        outcomes: of the shared rows, as `row_outcomes.RowOutcomes.changes` gives them; empty for a regression.
        metrics: name to `before`, `after` and the interval of `after` minus `before`, on the shared rows.
        fixed, broken: rows, the surest answers first.
        why_not: why the rows could not be compared; "".
    """

    before: RunRecord
    after: RunRecord
    settings: Sequence[tuple[str, str, str]] = ()
    splits: Sequence[tuple[str, int | None, int | None]] = ()
    files: Sequence[tuple[str, str]] = ()
    shared: int = 0
    only_before: int = 0
    only_after: int = 0
    relabelled: int = 0
    outcomes: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    fixed: Sequence[ChangedRow] = ()
    broken: Sequence[ChangedRow] = ()
    why_not: str = ""


def compare_runs(before: RunRecord, after: RunRecord) -> RunComparison:
    """Compares two runs; what cannot be compared is left out, with the reason."""
    common: dict[str, Any] = {
        "before": before,
        "after": after,
        "settings": list(changed_settings(before.config, after.config)),
        "splits": _splits(before, after),
        "files": _files(before, after),
    }
    try:
        rows = _SharedRows(*map(_facts_and_rows, (before, after)))
    except ConfigError as error:
        return RunComparison(**common, why_not=f"{error.what}: {error.got}")
    why_not = rows.why_not()
    return RunComparison(**common, why_not=why_not) if why_not else RunComparison(**common, **rows.compared())


def _splits(before: RunRecord, after: RunRecord) -> list[tuple[str, int | None, int | None]]:
    old, new = (run.data.get("splits", {}) for run in (before, after))
    return [
        (name, old.get(name, {}).get("rows"), new.get(name, {}).get("rows")) for name in dict.fromkeys((*old, *new))
    ]


def _files(before: RunRecord, after: RunRecord) -> list[tuple[str, str]]:
    old, new = (
        {file["path"]: file["sha256"] for source in run.tables.get("sources", []) for file in source["files"]}
        for run in (before, after)
    )
    states = {
        path: "new" if path not in old else "gone" if path not in new else "changed"
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    }
    return sorted(states.items())


def _facts_and_rows(run: RunRecord) -> tuple[PredictionFacts, PredictedRows]:
    stored = predictions_of(run)
    with explained_damage(run):
        return stored.facts, _read(stored)


class _SharedRows:
    """The rows that two runs measured. A text that is there more than once is matched as often as both have it."""

    def __init__(
        self, before: tuple[PredictionFacts, PredictedRows], after: tuple[PredictionFacts, PredictedRows]
    ) -> None:
        self._facts, self._rows = (before[0], after[0]), (before[1], after[1])
        frames = [pd.DataFrame({"key": np.array(rows.keys, np.uint64)}) for rows in self._rows]
        for frame in frames:
            frame["copy"], frame["row"] = frame.groupby("key").cumcount(), np.arange(len(frame))
        merged = frames[0].merge(frames[1], on=["key", "copy"], suffixes=("_before", "_after"))
        self._places = merged["row_before"].to_numpy(), merged["row_after"].to_numpy()

    def why_not(self) -> str:
        """Why nothing can be compared; "" if something can."""
        if self._facts[0].task != self._facts[1].task:
            return f"the tasks differ: {self._facts[0].task} and {self._facts[1].task}"
        return "" if len(self._places[0]) else "they have no test row in common"

    def compared(self) -> dict[str, Any]:
        """The attributes of a `RunComparison`."""
        scores = [rows.scores[MODEL][places] for rows, places in zip(self._rows, self._places, strict=True)]
        given = [self._given(number) for number in (0, 1)]
        found: dict[str, Any] = {
            "shared": len(given[1]),
            "only_before": len(self._rows[0]) - len(given[0]),
            "only_after": len(self._rows[1]) - len(given[1]),
            "relabelled": sum(old != new for old, new in zip(*given, strict=True)),
            "metrics": self._metrics(scores),
        }
        if self._facts[1].task == "regression":
            return found | self._most_changed(scores)
        right = [self._right(number, scores[number]) for number in (0, 1)]
        both = (right[0] >= 0) & (right[1] >= 0)
        fixed, broken = (np.flatnonzero(both & (right[1] == one) & (right[0] == 1 - one)) for one in (1, 0))
        found["outcomes"] = {
            "fixed": len(fixed),
            "broken": len(broken),
            "both_right": int(((right[0] == 1) & (right[1] == 1)).sum()),
            "both_wrong": int((both & (right[0] == 0) & (right[1] == 0)).sum()),
            "chance": mcnemar(len(fixed), len(broken)),
        }
        for name, rows in (("fixed", fixed), ("broken", broken)):
            surest = rows[np.argsort(-scores[1][rows].max(axis=1), kind="stable")][:MOST_LISTED]
            found[name] = [self._changed(int(row), scores) for row in surest]
        return found

    def _given(self, number: int) -> list[Any]:
        rows = self._rows[number]
        values: list[Any] = list(rows.given if rows.given is not None else rows.numbers or [])
        return [values[place] for place in self._places[number]]

    def _right(self, number: int, scores: np.ndarray) -> np.ndarray:
        """Which rows a model gets right, by the later labels: 1, 0, or -1."""
        rows = PredictedRows(keys=[0] * len(scores), given=self._given(1), scores={MODEL: scores})
        return RowOutcomes(self._facts[number]).add(rows)[MODEL]

    def _metrics(self, scores: Sequence[np.ndarray]) -> dict[str, dict[str, Any]]:
        """Of the first rows, if there are very many."""
        old, new = self._facts
        task = TaskConfig(type=new.task, threshold=new.threshold)
        names = interval_metrics(new)
        rows, most = self._rows[1], _MOST_ROWS
        taken = self._places[1][:most]
        given = None if rows.given is None else [rows.given[place] for place in taken]
        numbers = None if rows.numbers is None else [rows.numbers[place] for place in taken]
        targets = rebuild_targets(new, given, numbers)
        if new.labels and not set(new.labels) & set(old.labels):
            return {}
        measured = compare(
            task, new.labels, Baseline(old.labels, old.threshold), targets, scores[1][:most], scores[0][:most], names,
            SHARE, _DRAWS,
        )  # fmt: skip
        found = {}
        for name in names:
            low, high = measured.losses.get(name, (None, None))
            if low is not None and high is not None and direction(new.task, name) == "higher":
                low, high = -high, -low
            values: dict[str, Any] = {"before": measured.live.get(name), "after": measured.candidate.get(name)}
            found[name] = values | {"interval": None if low is None else [low, high]}
        return found

    def _changed(self, row: int, scores: Sequence[np.ndarray]) -> ChangedRow:
        answers = [answer(facts, MODEL, one[row]) for facts, one in zip(self._facts, scores, strict=True)]
        return self._described(row, ", ".join(self._given(1)[row]), *(", ".join(one) for one in answers))

    def _described(self, row: int, given: str, before: str, after: str) -> ChangedRow:
        rows, place = self._rows[1], self._places[1][row]
        pair = None if rows.pairs is None else rows.pairs[place][:_SHOWN_CHARACTERS]
        return ChangedRow(
            rows.texts[place][:_SHOWN_CHARACTERS], pair, given or "none", before or "none", after or "none"
        )

    def _most_changed(self, scores: Sequence[np.ndarray]) -> dict[str, Any]:
        """The rows whose errors have become smallest and largest."""
        numbers = np.array(self._given(1), np.float64)
        errors = [np.abs(one[:, 0] - numbers) for one in scores]
        growth = np.nan_to_num(errors[1] - errors[0])
        order = np.argsort(growth, kind="stable")
        listed = {"fixed": order[growth[order] < 0], "broken": order[::-1][growth[order[::-1]] > 0]}
        return {
            name: [
                self._described(int(row), f"{numbers[row]:.6g}", *(f"{one[row, 0]:.6g}" for one in scores))
                for row in rows[:MOST_LISTED]
            ]
            for name, rows in listed.items()
        }


def _read(predictions: StoredPredictions) -> PredictedRows:
    """All rows with the model's scores."""
    whole = PredictedRows()
    parts: list[np.ndarray] = []
    for batch in predictions.batches([MODEL]):
        whole.keys += batch.keys
        whole.texts += batch.texts
        for name in ("pairs", "given", "numbers"):
            values = getattr(batch, name)
            if values is not None:
                setattr(whole, name, [*(getattr(whole, name) or []), *values])
        parts.append(batch.scores[MODEL])
    whole.scores = {MODEL: np.concatenate(parts)}
    return whole
