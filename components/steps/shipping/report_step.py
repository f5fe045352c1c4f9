"""Report: the page of a run, as an artifact. Only on a cluster: a run here writes its page itself, however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import DataBlessing, ReportArtifact
from components.report.page_facts import RunFacts
from components.report.report_page import report_page
from components.report.step_reports import facts_of_steps
from components.report.training_losses import read_losses
from components.steps.shipping.pusher import FILE_NAME as PUSHED_FILE
from components.tfx_step import Step, StepExecutor, StepRun
from models.saved.model_locations import EXTRA_FOLDER, LINEAGE_FILE


class Executor(StepExecutor):
    """Reads the reports of the other steps."""

    def run(self, step: StepRun) -> None:
        """Writes the page; what a step has not reported is missing in it."""
        target = step.folder("report") / ReportArtifact.FILE
        target.write_text(report_page(_facts(step)), encoding="utf-8")


def _facts(step: StepRun) -> RunFacts:
    pushed = _json(step.folder("pushed_model") / PUSHED_FILE)
    place = pushed.get("destination", "")
    return facts_of_steps(
        lambda report: step.optional_folder(report.key),
        json.loads(step.parameters["config"]),
        status=_status(pushed),
        losses=read_losses(step.folder("model_run") / "logs" / "train"),
        pushed=place,
        bundle=pushed.get("bundle", ""),
        lineage=_json(Path(place, EXTRA_FOLDER, LINEAGE_FILE)) if place else {},
    )


def _status(pushed: dict[str, Any]) -> str:
    """As in a run's record."""
    if not pushed.get("pushed"):
        return "not blessed"
    return "pushed" if pushed.get("new") else "already live"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


class Report(Step, executor=Executor):
    """Output `report`: the page of the run, which Kubeflow's own viewer shows."""

    INPUTS = {
        "data_blessing": DataBlessing,
        "model_run": standard_artifacts.ModelRun,
        "evaluation": standard_artifacts.ModelEvaluation,
        "serving_blessing": standard_artifacts.InfraBlessing,
        "pushed_model": standard_artifacts.PushedModel,
    }
    OPTIONAL_INPUTS = {"edge_blessing": standard_artifacts.InfraBlessing}
    OUTPUTS = {"report": ReportArtifact}
    PARAMETERS = {"config": str}

    def __init__(
        self,
        data_blessing: types.BaseChannel,
        model_run: types.BaseChannel,
        evaluation: types.BaseChannel,
        serving_blessing: types.BaseChannel,
        pushed_model: types.BaseChannel,
        edge_blessing: types.BaseChannel | None = None,
        *,
        config: str,
    ) -> None:
        """`config`: the resolved configuration as JSON, without what may hold credentials."""
        super().__init__(
            data_blessing=data_blessing,
            model_run=model_run,
            evaluation=evaluation,
            serving_blessing=serving_blessing,
            pushed_model=pushed_model,
            edge_blessing=edge_blessing,
            config=config,
        )
