"""ServingGate: starts the real server on the exported model and replays real rows, before anything is pushed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import BLESSED, VERDICT, Artifacts, write_blessing
from components.config import ServingConfig
from components.fingerprint import fingerprint
from components.model_gates.serving_gate_report import serving_gate_report
from models.config import TaskConfig

USER_LOG = logging.getLogger("transom")
FILE_NAME = "serving.json"


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = dict.fromkeys(("task", "config", "code"), component_spec.ExecutionParameter(type=str))
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):
    """Replays, compares, and blesses the model or reports which request failed and how."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`. A model that is not blessed is not an error here.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        config = ServingConfig.model_validate_json(exec_properties["config"])
        task = TaskConfig.model_validate_json(exec_properties["task"])
        if not config.gate:
            report: dict[str, Any] = {BLESSED: True, VERDICT: "the serving gate is off (serving.gate: false)"}
        else:
            folder = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
            examples = artifact_utils.get_single_instance(input_dict["examples"])
            report = serving_gate_report(folder, examples, task, config)
        USER_LOG.info("%s", report[VERDICT])
        write_blessing(artifact_utils.get_single_instance(output_dict["blessing"]), report, FILE_NAME)


class ServingGate(base_component.BaseComponent):
    """Starts the server on the model and replays rows of the eval split.

    It does not read the evaluation's blessing, which changes with the live model: each model is replayed once.
    Output `blessing`: the properties `blessed` (1 or 0) and `verdict`, and `serving.json` with the measurements.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        *,
        task: TaskConfig,
        serving: ServingConfig,
    ) -> None:
        """`examples`: raw rows."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                task=task.model_dump_json(),
                config=serving.model_dump_json(),
                code=fingerprint(__name__, "serving.server.main", "serving.server.model_service"),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
