"""EdgeGate: compares every variant with Keras and the budget, and blesses the smallest that passes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import VARIANT, VERDICT, Artifacts, EdgeBundles, write_blessing
from components.config import EvaluationConfig
from components.fingerprint import fingerprint
from components.model_gates.edge_gate_report import SPLIT, edge_gate_report
from components.model_gates.edge_rows import edge_rows
from models.config import TaskConfig
from tflite.config import EdgeConfig
from tflite.measure.variant_choice import FILE_NAME

USER_LOG = logging.getLogger("transom")


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = dict.fromkeys(("task", "config", "evaluation", "code"), component_spec.ExecutionParameter(type=str))
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "bundles": component_spec.ChannelParameter(type=EdgeBundles),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):
    """Compares, measures, chooses, and reports why each of the other variants was not chosen."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`. It is not an error if no variant passes.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        config = EdgeConfig.model_validate_json(exec_properties["config"])
        task = TaskConfig.model_validate_json(exec_properties["task"])
        evaluation = EvaluationConfig.model_validate_json(exec_properties["evaluation"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        folder = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        bundles = Path(artifact_utils.get_single_uri(input_dict["bundles"]))
        rows = edge_rows(examples, SPLIT, task, config.rows, evaluation.slices)
        report = edge_gate_report(folder, bundles, rows, config, evaluation.min_slice_size)
        USER_LOG.info("%s", report[VERDICT])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        write_blessing(blessing, report, FILE_NAME)
        blessing.set_string_custom_property(VARIANT, report[VARIANT] or "")


class EdgeGate(base_component.BaseComponent):
    """Output `blessing`: `edge_report.json`, and the properties `blessed`, `verdict` and `variant`."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        bundles: types.BaseChannel,
        *,
        task: TaskConfig,
        edge: EdgeConfig,
        evaluation: EvaluationConfig,
    ) -> None:
        """`examples`: raw rows; `bundles`: EdgeExporter's output."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                bundles=bundles,
                task=task.model_dump_json(),
                config=edge.model_dump_json(exclude={"directory", "author", "licence"}),
                # The thresholds are left out: changing one does not run this step again.
                evaluation=evaluation.model_dump_json(include={"slices", "min_slice_size"}),
                code=fingerprint(__name__, "tflite.measure.cost"),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
