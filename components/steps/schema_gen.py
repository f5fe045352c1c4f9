"""SchemaGen: the schema of the tf.Examples, inferred from the training split or curated by the user."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.data.schema_file import read_curated_schema
from components.data.schema_inference import infer_schema
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig


class Executor(StepExecutor):
    """Writes `schema.pbtxt`, TFX's name for it."""

    def run(self, step: StepRun) -> None:
        if step.parameters["curated"]:
            schema = text_format.Parse(step.parameters["curated"], schema_pb2.Schema())
        else:
            train = stats_artifact_utils.load_statistics(step.artifact("statistics"), "train").proto()
            schema = infer_schema(train, step.config("task", TaskConfig))
        io_utils.write_pbtxt_file(str(step.folder("schema") / DEFAULT_FILE_NAME), schema)


class SchemaGen(Step, executor=Executor):
    """The component with the output `schema`. It replaces TFX's SchemaGen and ImportSchemaGen.

    In the schema, text, text_pair and a label (`single_label`, `regression`) have shape [1]. The labels of a
    `multi_label` row have any number of values, all other columns at most one.
    """

    INPUTS = {"statistics": standard_artifacts.ExampleStatistics}
    OUTPUTS = {"schema": standard_artifacts.Schema}
    PARAMETERS = {"task": str, "curated": str}

    def __init__(self, statistics: types.BaseChannel, task: TaskConfig, schema_path: Path | None = None) -> None:
        """`schema_path`: a curated schema; its contents, not its path, decide whether later steps run again.

        Raises:
            ConfigError: the curated schema cannot be read, or does not fit the task.
        """
        curated = "" if schema_path is None else text_format.MessageToString(read_curated_schema(schema_path, task))
        settings = task.model_dump_json(include={"type", "text", "text_pair", "label"})
        super().__init__(statistics=statistics, task=settings, curated=curated)
