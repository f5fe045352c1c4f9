"""TFX's launcher in three parts, so that a step's executor can run elsewhere while the runner goes on.

TFX's own `launch` waits for the executor, and starts a gRPC server meanwhile, which no process survives that is forked.
"""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import data_types, launcher, outputs_utils
from tfx.proto.orchestration import execution_result_pb2, pipeline_pb2

Outputs = dict[str, dict[str, metadata_store_pb2.Artifact]]


class StepLauncher(launcher.Launcher):
    """One execution of a step: `prepare`, then `execute` if that is necessary, then `succeed` or `fail`."""

    def __init__(self, node: pipeline_pb2.PipelineNode, spec: pipeline_pb2.Pipeline, connection: Any) -> None:
        step, deployment = node.node_info.id, runner_utils.extract_local_deployment_config(spec)
        self._connection = metadata.Metadata(connection)
        super().__init__(
            pipeline_node=node,
            mlmd_connection=self._connection,
            pipeline_info=spec.pipeline_info,
            pipeline_runtime_spec=spec.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, step),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, step),
        )
        self._prepared: Any = None

    @property
    def _info(self) -> data_types.ExecutionInfo:
        return self._prepared.execution_info

    def prepare(self) -> bool:
        """Registers the execution, with a former result if there is one; returns whether it must run."""
        self._prepared = self._prepare_execution()
        if self._prepared.is_execution_needed:
            outputs_utils.make_output_dirs(self._info.output_dict)
        return bool(self._prepared.is_execution_needed)

    def execute(self) -> bytes:
        """Runs the executor, in any process; returns its serialized result. Raises the executor's exceptions."""
        output = self._executor_operator.run_executor(self._info)
        return bytes(output.SerializeToString())

    def succeed(self, result: bytes) -> None:
        """Records the result of `execute`."""
        self._clean_up_stateless_execution_info(self._info)
        self._clean_up_stateful_execution_info(self._info)
        output = execution_result_pb2.ExecutorOutput.FromString(result)
        self._publish_successful_execution(
            self._info.execution_id, self._prepared.contexts, self._info.output_dict, output
        )

    def fail(self) -> None:
        """Records that `execute` failed, and removes what it wrote."""
        outputs_utils.remove_output_dirs(self._info.output_dict)
        self._publish_failed_execution(self._info.execution_id, self._prepared.contexts, None)
        self._clean_up_stateless_execution_info(self._info)

    def abandon(self) -> None:
        """Removes the temporary files of an interrupted `execute`."""
        self._clean_up_stateless_execution_info(self._info)

    def outputs(self) -> dict[str, metadata_store_pb2.Artifact]:
        """The artifacts of the execution by output name; a cached execution has those of an earlier one."""
        with self._connection as store:
            events = [
                event
                for event in store.store.get_events_by_execution_ids([self._info.execution_id])
                if event.type == metadata_store_pb2.Event.OUTPUT
            ]
            found = store.store.get_artifacts_by_id([event.artifact_id for event in events])
        by_id = {artifact.id: artifact for artifact in found}
        return {event.path.steps[0].key: by_id[event.artifact_id] for event in events}
