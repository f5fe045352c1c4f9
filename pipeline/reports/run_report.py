"""The page of a run, from its record: made when the run ends, however it ends, and again by `transom report`."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.report.card.model_card import model_card
from components.report.page_facts import RunFacts
from components.report.report_page import FILE_NAME, report_page
from models.errors import ModelError
from models.saved.model_locations import EXTRA_FOLDER, LINEAGE_FILE
from models.whole_writes import write_whole
from pipeline.runs.run_records import RunRecord, read_record
from pipeline.version import version_text

_LOG = logging.getLogger(__name__)


def write_report(record: RunRecord, folder: Path) -> Path:
    """Writes `report.html` into the run's folder, beside which are those of the other runs; returns its path.

    Raises:
        OSError: it cannot be written.
    """
    target, former = folder / FILE_NAME, ""
    if record.repeats:
        with contextlib.suppress(OSError, ValueError):
            former = (folder.parent / record.repeats / FILE_NAME).read_text(encoding="utf-8")
    write_whole(target, report_page(run_facts(record, _previous(record, folder.parent)), version_text(), former))
    return target


def run_card(record: RunRecord) -> str:
    """The card of the model that a run made, as Markdown.

    Raises:
        ModelError: the run made none.
    """
    if not record.evaluation:
        raise ModelError(
            f"run {record.name} has no model card",
            got=f"it ended before its model was measured ({record.status})",
            expected="a run that came to the Evaluator",
            fix="`transom runs` lists the runs; name one with metrics",
        )
    return model_card(run_facts(record))


def try_to_write_report(record: RunRecord, folder: Path) -> None:
    """The same, at the end of a run: the run's result stands even if its page cannot be made."""
    try:
        write_report(record, folder)
    except Exception:  # noqa: BLE001
        _LOG.warning("the run's report could not be made", exc_info=True)


def run_facts(record: RunRecord, previous: RunRecord | None = None) -> RunFacts:
    """The facts of a recorded run."""
    return RunFacts(
        project=str(record.config.get("name") or ""),
        name=record.name,
        status=record.status,
        started=record.started,
        seconds=record.seconds,
        stopped_at=record.step if record.error else "",
        error=record.error,
        verdict=record.verdict,
        config=record.config,
        steps=[asdict(step) for step in record.steps],
        notes=record.notes,
        data=record.data,
        findings=record.findings,
        training=record.training,
        losses=_pairs(record.training.get("losses", [])),
        evaluation=record.evaluation,
        rows=record.rows,
        serving=record.serving,
        edge=record.edge,
        pushed=record.pushed,
        bundle=record.bundle,
        lineage=_lineage(record.pushed) or _own_lineage(record),
        previous=None if previous is None else run_facts(previous),
    )


def _pairs(losses: Sequence[Sequence[float]]) -> list[tuple[int, float]]:
    return [(int(step), float(loss)) for step, loss in losses]


def _lineage(pushed: str) -> Mapping[str, Any]:
    """What the pushed version says of its origin; empty if it is gone."""
    if pushed:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(Path(pushed, EXTRA_FOLDER, LINEAGE_FILE).read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    return {}


def _own_lineage(record: RunRecord) -> Mapping[str, Any]:
    """What the record says of the origin of a model that was not pushed."""
    found = {"origin": record.training.get("origin"), "data": record.tables}
    return {name: part for name, part in found.items() if part}


def _previous(record: RunRecord, runs: Path) -> RunRecord | None:
    """The last run before this one that measured a model, or the last at all; names sort by time."""
    earlier = sorted(folder.name for folder in runs.iterdir() if folder.name < record.name)
    readable = (read_record(runs, name) for name in reversed(earlier))
    known = [one for one in readable if one.status != "unreadable"]
    return next((one for one in known if one.evaluation), known[0] if known else None)
