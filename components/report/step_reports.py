"""The JSON files in which steps report what they found, and where each is.

The record of a run, the page that a cluster makes and the model card read them by this one table. No TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lineage.table_facts import TABLES_FILE
from components.report.page_facts import Json, RunFacts
from components.report_files import DATA_FILE, EDGE_FILE, EVALUATION_FILE, FINDINGS_FILE, ROWS_FILE, SERVING_FILE
from models.config import REPORT_FILE


@dataclass(frozen=True)
class StepReport:
    """One of the files.

    Attributes:
        step, output: which writes it into which of its outputs.
        key: the name of that output as an input of other steps.
        file: its name.
    """

    step: str
    output: str
    key: str
    file: str


STEP_REPORTS = {
    "tables": StepReport("DataGate", "blessing", "data_blessing", TABLES_FILE),
    "data": StepReport("DataGate", "blessing", "data_blessing", DATA_FILE),
    "findings": StepReport("DataGate", "blessing", "data_blessing", FINDINGS_FILE),
    "training": StepReport("Trainer", "model_run", "model_run", REPORT_FILE),
    "evaluation": StepReport("Evaluator", "evaluation", "evaluation", EVALUATION_FILE),
    "rows": StepReport("Evaluator", "evaluation", "evaluation", ROWS_FILE),
    "serving": StepReport("ServingGate", "blessing", "serving_blessing", SERVING_FILE),
    "edge": StepReport("EdgeGate", "blessing", "edge_blessing", EDGE_FILE),
}
"""By the name of the fact in `RunFacts` and in the run's record."""


def read_step_reports(folder_of: Callable[[StepReport], Path | None]) -> dict[str, Any]:
    """The contents of the files that are there, by the name of the fact.

    Args:
        folder_of: the folder of a report; None if its step did not run.
    """
    found = {}
    for name, report in STEP_REPORTS.items():
        folder = folder_of(report)
        if folder is not None and (folder / report.file).is_file():
            found[name] = json.loads((folder / report.file).read_text(encoding="utf-8"))
    return found


def verdict_of(evaluation: Json, serving: Json) -> str:
    """Why a model is blessed or not, from the two reports that decide: of a model that is not served, the gate's."""
    refused = evaluation.get("blessed") and not serving.get("blessed", True)
    return str((serving if refused else evaluation).get("verdict", ""))


def facts_of_steps(folder_of: Callable[[StepReport], Path | None], config: Json, **known: Any) -> RunFacts:
    """The facts of a run where there is no record of it: in a step.

    Args:
        folder_of: the folder of a report; None if its step did not run.
        config: the resolved configuration.
        known: further attributes of `RunFacts`.
    """
    found = read_step_reports(folder_of)
    evaluation, serving = found.get("evaluation", {}), found.get("serving", {})
    return RunFacts(
        project=str(config.get("name") or ""),
        verdict=verdict_of(evaluation, serving),
        config=config,
        data=found.get("data", {}),
        findings=found.get("findings", []),
        training=found.get("training", {}),
        evaluation=evaluation,
        rows=found.get("rows", {}),
        serving=serving,
        edge=found.get("edge", {}),
        **known,
    )
