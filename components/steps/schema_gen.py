"""SchemaGen: the schema of the tf.Examples, inferred from the training split or curated by the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils

from components.artifacts import Artifacts
from components.data.schema_file import read_curated_schema
from components.data.schema_inference import infer_schema
from components.fingerprint import fingerprint
from models.config import TaskConfig

_TASK_KEYS = {"type", "text", "text_pair", "label"}


def schema_gen(
    statistics: types.BaseChannel, task: TaskConfig, schema_path: Path | None = None
) -> base_component.BaseComponent:
    """The component with the output `schema`. It replaces TFX's SchemaGen and ImportSchemaGen; its id is `SchemaGen`.

    In the schema, text, text_pair and a label (`single_label`, `regression`) have shape [1]. The labels of a
    `multi_label` row have any number of values, all other columns at most one.

    Args:
        schema_path: a curated schema; its contents, not its path, decide whether later steps run again.

    Raises:
        ConfigError: the curated schema cannot be read, or does not fit the task.
    """
    curated = "" if schema_path is None else text_format.MessageToString(read_curated_schema(schema_path, task))
    return SchemaGen(
        SchemaGenSpec(
            statistics=statistics,
            task=task.model_dump_json(include=_TASK_KEYS),
            curated=curated,
            code=fingerprint(__name__),
            schema=types.Channel(type=standard_artifacts.Schema),
        )
    )


class SchemaGenSpec(component_spec.ComponentSpec):
    PARAMETERS = dict.fromkeys(("task", "curated", "code"), component_spec.ExecutionParameter(type=str))
    INPUTS = {specs.STATISTICS_KEY: component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}
    OUTPUTS = {specs.SCHEMA_KEY: component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class Executor(base_executor.BaseExecutor):
    """Writes `schema.pbtxt`, TFX's name for it."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        if exec_properties["curated"]:
            schema = text_format.Parse(exec_properties["curated"], schema_pb2.Schema())
        else:
            statistics = artifact_utils.get_single_instance(input_dict[specs.STATISTICS_KEY])
            train = stats_artifact_utils.load_statistics(statistics, "train").proto()
            schema = infer_schema(train, TaskConfig.model_validate_json(exec_properties["task"]))
        folder = artifact_utils.get_single_uri(output_dict[specs.SCHEMA_KEY])
        io_utils.write_pbtxt_file(os.path.join(folder, DEFAULT_FILE_NAME), schema)


class SchemaGen(base_component.BaseComponent):
    """See `schema_gen`."""

    SPEC_CLASS = SchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
