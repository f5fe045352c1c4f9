"""EdgeExporter: a bundle of every configured variant, before any is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import Artifacts, EdgeBundles
from components.fingerprint import fingerprint
from components.model_gates.variant_export import export_variants
from models.config import TaskConfig
from tflite.config import EdgeConfig


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = dict.fromkeys(("task", "config", "code"), component_spec.ExecutionParameter(type=str))
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"bundles": component_spec.ChannelParameter(type=EdgeBundles)}


class Executor(base_executor.BaseExecutor):
    """Converts once, quantizes for each variant, and records which could not be exported."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`. A variant that cannot be exported is not an error here: EdgeGate reports it.

        Raises:
            ConfigError: a length that the model does not have.
        """
        export_variants(
            Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))),
            artifact_utils.get_single_instance(input_dict["examples"]),
            Path(artifact_utils.get_single_uri(output_dict["bundles"])),
            TaskConfig.model_validate_json(exec_properties["task"]),
            EdgeConfig.model_validate_json(exec_properties["config"]),
        )


class EdgeExporter(base_component.BaseComponent):
    """Output `bundles`: a folder for each variant, and `bundles.json`, variant to why it could not be exported."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, examples: types.BaseChannel, model: types.BaseChannel, *, task: TaskConfig, edge: EdgeConfig
    ) -> None:
        """`examples`: raw rows. The cache key holds only the settings that affect the files."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                task=task.model_dump_json(),
                config=edge.model_dump_json(include={"variants", "lengths", "author", "licence"}),
                code=fingerprint(__name__),
                bundles=types.Channel(type=EdgeBundles),
            )
        )
