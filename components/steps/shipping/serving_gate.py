"""ServingGate: starts the real server on the exported model and replays real rows, before anything is pushed."""

from __future__ import annotations

import logging

from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import BLESSED, VERDICT, write_blessing
from components.config import ServingConfig
from components.model_gates.serving_gate_report import serving_gate_report
from components.report_files import SERVING_FILE
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig

USER_LOG = logging.getLogger("transom")


class Executor(StepExecutor):
    """Replays, compares, and blesses the model or reports which request failed and how."""

    def run(self, step: StepRun) -> None:
        """A model that is not blessed is not an error here.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        task, config = step.config("task", TaskConfig), step.config("config", ServingConfig)
        if config.gate:
            report = serving_gate_report(step.model_folder, step.artifact("examples"), task, config)
        else:
            report = {BLESSED: True, VERDICT: "the serving gate is off (serving.gate: false)"}
        USER_LOG.info("%s", report[VERDICT])
        write_blessing(step.artifact("blessing"), report, SERVING_FILE)


class ServingGate(Step, executor=Executor, code=("serving.server.main", "serving.server.model_service")):
    """Starts the server on the model and replays rows of the eval split.

    It does not read the evaluation's blessing, which changes with the live model: each model is replayed once.
    Output `blessing`: the properties `blessed` (1 or 0) and `verdict`, and `serving.json` with the measurements.
    """

    INPUTS = {"examples": standard_artifacts.Examples, "model": standard_artifacts.Model}
    OUTPUTS = {"blessing": standard_artifacts.InfraBlessing}
    PARAMETERS = {"task": str, "config": str}

    def __init__(
        self, examples: types.BaseChannel, model: types.BaseChannel, *, task: TaskConfig, serving: ServingConfig
    ) -> None:
        """`examples`: raw rows."""
        super().__init__(examples=examples, model=model, task=task.model_dump_json(), config=serving.model_dump_json())
