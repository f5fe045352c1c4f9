"""The local runner: calls TFX's launcher for each node, and reports each step and whether its result was cached.

`LocalDagRunner` runs the same loop but does not report the outcome of a node; only the loop differs.
"""

from __future__ import annotations

import datetime
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.evaluation.live.evaluation_reuse import REUSED
from models.errors import ConfigError
from pipeline.runs.artifact_files import record_files
from pipeline.runs.interruption import is_interruption


class StepListener(Protocol):
    """Receives the begin and end of each step."""

    def started(self, step: str) -> None:
        """A step begins."""

    def ended(self, step: str, status: str, seconds: float) -> None:
        """A step ended: `status` is done, cached, skipped, interrupted or failed."""


Outputs = dict[str, dict[str, metadata_store_pb2.Artifact]]


def run(
    pipeline: Pipeline,
    listener: StepListener,
    outputs: Outputs,
    *,
    from_steps: Collection[str] = (),
    to_steps: Collection[str] = (),
) -> None:
    """Runs a pipeline in this process.

    Args:
        outputs: filled with each step's outputs when it ends, by step and output name (one artifact each), so that
            they are available even if a later step fails.
        from_steps: run only these steps and those that depend on them, with the newest results of earlier steps.
        to_steps: run only these steps and those that they depend on.

    Raises:
        ConfigError: there is no step to run, or a step that is skipped has never run.
        Exception: an executor's exception, raised again after the failure was recorded.
    """
    spec = compiler.Compiler().compile(pipeline)
    run_id = datetime.datetime.now().isoformat()
    runtime_parameter_utils.substitute_runtime_parameter(spec, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    deployment = runner_utils.extract_local_deployment_config(spec)
    connections = deployment.metadata_connection_config
    connection = getattr(connections, connections.WhichOneof("connection_config"))
    if from_steps or to_steps:
        _skip_steps(spec, from_steps, to_steps)
    for node in (entry.pipeline_node for entry in spec.nodes):
        step = node.node_info.id
        if node.execution_options.HasField("skip"):
            listener.ended(step, "skipped", 0.0)
            continue
        if node.execution_options.run.perform_snapshot:
            with metadata.Metadata(connection) as store:
                _use_newest_results(store, spec, from_steps)
                _check_reused(store, run_id, from_steps)
        root = Path(pipeline.pipeline_info.pipeline_root)
        begin, status = time.monotonic(), "failed"
        try:
            listener.started(step)
            status = _run_step(node, spec, metadata.Metadata(connection), root, outputs)
        except BaseException as error:
            if is_interruption(error):
                status = "interrupted"
                if not isinstance(error, KeyboardInterrupt):
                    raise KeyboardInterrupt from error
            raise
        finally:
            listener.ended(step, status, time.monotonic() - begin)


def _run_step(
    node: pipeline_pb2.PipelineNode,
    spec: pipeline_pb2.Pipeline,
    connection: metadata.Metadata,
    root: Path,
    outputs: Outputs,
) -> str:
    """Runs a step if necessary and reads its outputs back; returns "done" or "cached"."""
    step, deployment = node.node_info.id, runner_utils.extract_local_deployment_config(spec)
    info = launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=connection,
        pipeline_info=spec.pipeline_info,
        pipeline_runtime_spec=spec.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, step),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, step),
    ).launch()
    if info is None:
        return "cached"
    with connection as store:
        outputs[step] = _outputs(store, info.execution_id)
    for artifact in outputs[step].values():
        record_files(root, artifact.id, Path(artifact.uri))
    # An execution that the launcher did not need to run has no output URI of its own.
    return "done" if info.execution_output_uri and not _is_reused(outputs[step]) else "cached"


def _skip_steps(spec: pipeline_pb2.Pipeline, from_steps: Collection[str], to_steps: Collection[str]) -> None:
    partial_run_utils.mark_pipeline(spec, from_nodes=from_steps or None, to_nodes=to_steps or None)
    if all(entry.pipeline_node.execution_options.HasField("skip") for entry in spec.nodes):
        raise ConfigError(
            "--from and --to",
            got=f"no step between {', '.join(from_steps)} and {', '.join(to_steps)}",
            expected="a step and one that depends on it",
            fix="leave one of them out",
        )


def _use_newest_results(store: metadata.Metadata, spec: pipeline_pb2.Pipeline, from_steps: Collection[str]) -> None:
    """Adopts the newest results of the skipped steps for this run."""
    try:
        partial_run_utils.snapshot(store, spec)
    except LookupError as error:  # "node context NAME.STEP not found …", "No … found for node_id STEP in …"
        missing = re.search(r"(?:\.|node_id )([A-Z]\w+)", str(error))
        raise ConfigError(
            f"--from {', '.join(from_steps)}",
            got=f"{missing.group(1) if missing else 'an earlier step'} did not finish in the last run",
            expected="a last run in which all earlier steps finished: their results are used",
            fix="run without --from first",
        ) from error


def _check_reused(store: metadata.Metadata, run_id: str, from_steps: Collection[str]) -> None:
    """Refuses results of earlier steps whose files are gone; see `pipeline.runs.metadata_check`."""
    context = store.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    artifacts = store.store.get_artifacts_by_context(context.id)
    gone = sorted({Path(one.uri).parts[-3] for one in artifacts if one.state != metadata_store_pb2.Artifact.LIVE})
    if gone:
        raise ConfigError(
            f"--from {', '.join(from_steps)}",
            got=f"the results of {', '.join(gone)} are gone, or were a temporary refusal",
            expected="the results of all earlier steps",
            fix="run without --from: these steps then run again",
        )


def _outputs(store: metadata.Metadata, execution_id: int) -> dict[str, metadata_store_pb2.Artifact]:
    """The artifacts of one execution by output name; a cached execution has those of an earlier one."""
    events = [
        event
        for event in store.store.get_events_by_execution_ids([execution_id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    found = {artifact.id: artifact for artifact in store.store.get_artifacts_by_id([e.artifact_id for e in events])}
    return {event.path.steps[0].key: found[event.artifact_id] for event in events}


def _is_reused(outputs: dict[str, metadata_store_pb2.Artifact]) -> bool:
    """Whether a step ran only to find that its former result is still valid."""
    return any(REUSED in artifact.custom_properties for artifact in outputs.values())


def remove_leftovers(artifacts: Path) -> None:
    """Removes the temporary folders of killed runs."""
    for folder in artifacts.glob("*/.system/executor_execution/*/.temp"):
        shutil.rmtree(folder, ignore_errors=True)
