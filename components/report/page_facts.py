"""The facts of a run, as the report needs them: plain JSON values, each part empty if the run did not get so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """The facts of one run.

    Attributes:
        project: its name.
        name: the run's; "" where there is no name, as on a cluster.
        status: as in `RunRecord`; "finished" where only the steps' results are known.
        started: local time; "".
        seconds: wall time; 0: unknown.
        stopped_at, error: where and why the run stopped early; "".
        verdict: one sentence that says why the model was pushed or not.
        config: the resolved configuration.
        steps: {"name", "status", "seconds"} of each.
        notes: {"step", "text"}: messages of the steps.
        data: `data.json` of the data gate.
        findings: `findings.json` of the data gate.
        training: the Trainer's report.
        losses: (step, training loss) of the Trainer's TensorBoard files.
        evaluation: `summary.json` of the Evaluator.
        rows: `rows.json` of the Evaluator.
        serving, edge: the gates' reports.
        pushed, bundle: where the model and its edge bundle are; "".
        lineage: `lineage.json` of the pushed version.
        previous: the facts of the run before, in the same form; None if there is none.
    """

    project: str = ""
    name: str = ""
    status: str = "finished"
    started: str = ""
    seconds: float = 0.0
    stopped_at: str = ""
    error: str = ""
    verdict: str = ""
    config: Json = field(default_factory=dict)
    steps: Sequence[Json] = ()
    notes: Sequence[Json] = ()
    data: Json = field(default_factory=dict)
    findings: Sequence[Json] = ()
    training: Json = field(default_factory=dict)
    losses: Sequence[tuple[int, float]] = ()
    evaluation: Json = field(default_factory=dict)
    rows: Json = field(default_factory=dict)
    serving: Json = field(default_factory=dict)
    edge: Json = field(default_factory=dict)
    pushed: str = ""
    bundle: str = ""
    lineage: Json = field(default_factory=dict)
    previous: RunFacts | None = None

    @property
    def task(self) -> str:
        """`task.type`."""
        return str(self.evaluation.get("task") or (self.config.get("task") or {}).get("type") or "")
