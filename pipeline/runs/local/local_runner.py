"""The local runner: runs the steps of a pipeline, those side by side that do not need each other.

`LocalDagRunner` runs one step after another in its own process, and does not report the outcome of a step. Here each
step that must run gets a process of its own (`step_processes`); the metadata store is read and written by this one.
The steps' order decides which error counts: that of the first step that fails, as if they ran one after another.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection as multiprocessing_connection
from pathlib import Path
from typing import Any, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.evaluation.live.evaluation_reuse import REUSED
from models.errors import Interrupted
from models.runtime import can_fork, usable_cores
from pipeline.runs.interruption import is_interruption
from pipeline.runs.local.partial_runs import check_reused, skip_steps, use_newest_results
from pipeline.runs.local.step_launcher import Outputs as Outputs
from pipeline.runs.local.step_launcher import StepLauncher
from pipeline.runs.local.step_logs import StepLog
from pipeline.runs.local.step_processes import StepProcess
from pipeline.runs.store.artifact_files import record_files
from pipeline.runs.store.clean_up import temporary_folders
from pipeline.steps import BEGINS_EARLY, MEASURES_TIME
from serving.server.run.process_memory import available

# The memory that must be available for another step to begin beside one that runs.
_ROOM_BYTES = 2 * 2**30
_COPY_SECONDS = 1.0  # between two looks at the logs of running steps


class StepListener(Protocol):
    """Receives the begin and end of each step."""

    def planned(self, steps: Sequence[str]) -> None:
        """The steps that come now, in their order, without those that are skipped."""

    def started(self, step: str) -> None:
        """A step begins."""

    def ended(self, step: str, status: str, seconds: float, used: Mapping[str, float]) -> None:
        """A step ended: `status` is done, cached, skipped, interrupted or failed; `used`: see `StepProcess`."""


def run(
    pipeline: Pipeline,
    listener: StepListener,
    outputs: Outputs,
    *,
    from_steps: Collection[str] = (),
    to_steps: Collection[str] = (),
    forks: bool = True,
    logs: Path | None = None,
) -> None:
    """Runs a pipeline on this machine.

    Args:
        outputs: filled with each step's outputs when it ends, by step and output name (one artifact each), so that
            they are available even if a later step fails.
        from_steps: run only these steps and those that depend on them, with the newest results of earlier steps.
        to_steps: run only these steps and those that they depend on.
        forks: give steps processes of their own, where that is possible.
        logs: the folder of the logs, a file STEP.txt for each step that does something; None for none.

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
        skip_steps(spec, from_steps, to_steps)
    nodes = []
    for node in (entry.pipeline_node for entry in spec.nodes):
        if node.execution_options.HasField("skip"):
            listener.ended(node.node_info.id, "skipped", 0.0, {})
            continue
        if node.execution_options.run.perform_snapshot:
            with metadata.Metadata(connection) as store:
                use_newest_results(store, spec, from_steps)
                check_reused(store, run_id, from_steps)
        nodes.append(node)
    root = Path(pipeline.pipeline_info.pipeline_root)
    listener.planned([node.node_info.id for node in nodes])
    _Schedule(nodes, spec, connection, root, listener, outputs, forks, logs).run()


@dataclass
class _RunningStep:
    launcher: StepLauncher
    process: StepProcess
    begin: float


class _Schedule:
    """The steps of a run: which of them have ended, which run, and which can begin."""

    def __init__(
        self,
        nodes: Sequence[pipeline_pb2.PipelineNode],
        spec: pipeline_pb2.Pipeline,
        connection: Any,
        root: Path,
        listener: StepListener,
        outputs: Outputs,
        forks: bool,
        logs: Path | None = None,
    ) -> None:
        self._nodes: dict[str, pipeline_pb2.PipelineNode] = {node.node_info.id: node for node in nodes}
        self._spec, self._connection, self._root = spec, connection, root
        self._listener, self._outputs, self._forks, self._logs = listener, outputs, forks, logs
        self._used: dict[str, Mapping[str, float]] = {}
        self._needed = {step: _needed(node) & self._nodes.keys() for step, node in self._nodes.items()}
        self._waiting = list(self._nodes)
        self._running: dict[str, _RunningStep] = {}
        self._ended: set[str] = set()
        self._errors: dict[str, BaseException] = {}

    def run(self) -> None:
        """Runs all steps, until one fails and those before it have ended. Raises the first failed step's exception."""
        try:
            while self._waiting or self._running:
                step = self._next()
                if step is not None:
                    self._begin(step)
                elif self._running:
                    self._await()
                else:  # the others need a step that failed
                    break
        except BaseException as error:
            final = self._wind_up(error)
            if final is error:
                raise
            raise final from error
        if self._errors:
            raise self._errors[min(self._errors, key=list(self._nodes).index)]

    def _wind_up(self, error: BaseException) -> BaseException:
        """Stops what still runs; returns the error, or that of the step that tells what its interruption costs."""
        self._interrupt(list(self._running))
        while self._running:
            try:
                self._await()
            except BaseException as other:  # noqa: BLE001
                error = other if isinstance(other, Interrupted) else error
        return error

    def _next(self) -> str | None:
        """The first step that can begin now."""
        order: list[str] = list(self._nodes)
        last = min(map(order.index, self._errors), default=len(order))
        for step in self._waiting:
            if order.index(step) >= last:
                return None
            if not self._needed[step] <= self._ended:
                continue
            if not self._running:
                return step
            room = available()
            crowded = len(self._running) >= usable_cores() or (room is not None and room < _ROOM_BYTES)
            if crowded or MEASURES_TIME & self._running.keys() or not can_fork():  # without forks, nothing is running
                return None
            if step not in MEASURES_TIME:
                return step
        return None

    def _begin(self, step: str) -> None:
        """Begins a step, and ends it if a former result of it is still valid."""
        self._waiting.remove(step)
        begin = time.monotonic()
        log = None if self._logs is None else StepLog(step, self._logs / f"{step}.txt")
        try:
            self._listener.started(step)
            launcher = StepLauncher(self._nodes[step], self._spec, self._connection)
            if not launcher.prepare():
                self._keep(step, launcher, begin, status="cached")
            elif self._forks and can_fork():
                process = StepProcess.start(step, launcher.execute, log)
                self._running[step] = _RunningStep(launcher, process, begin)
                self._used[step] = process.used
            else:
                with contextlib.nullcontext() if log is None else log.capturing():
                    self._finish(step, launcher, begin, launcher.execute)
        except BaseException as error:  # noqa: BLE001
            self._fail(step, begin, error)

    def _await(self) -> None:
        """Waits a second, or until a process has sent something or has ended, and handles that."""
        by_connection = {one.process.connection: step for step, one in self._running.items()}
        sent = multiprocessing_connection.wait(list(by_connection), _COPY_SECONDS)
        for one in self._running.values():
            if one.process.log is not None:
                one.process.log.copy()
        for ready in sent:
            step = by_connection[ready]  # type: ignore[index]  # of typeshed's union
            one = self._running[step]
            if not one.process.receive():
                del self._running[step]
                try:
                    self._finish(step, one.launcher, one.begin, one.process.result)
                except BaseException as error:  # noqa: BLE001
                    self._fail(step, one.begin, error)

    def _finish(self, step: str, launcher: StepLauncher, begin: float, result: Any) -> None:
        """Records what `result` returns or raises."""
        try:
            launcher.succeed(result())
        except Exception:
            launcher.fail()
            raise
        except BaseException:
            launcher.abandon()
            raise
        self._keep(step, launcher, begin, status="done")

    def _keep(self, step: str, launcher: StepLauncher, begin: float, status: str) -> None:
        found = self._outputs[step] = launcher.outputs()
        if status == "done":
            for artifact in found.values():
                record_files(self._root, artifact.id, Path(artifact.uri))
        self._ended.add(step)
        self._tell(step, "cached" if _is_reused(found) else status, begin)

    def _tell(self, step: str, status: str, begin: float) -> None:
        self._listener.ended(step, status, time.monotonic() - begin, self._used.get(step, {}))

    def _fail(self, step: str, begin: float, error: BaseException) -> None:
        """Handles an error of a step: those after it are stopped, those before it go on."""
        interrupted = is_interruption(error)
        if isinstance(error, Interrupted):
            error.step = step
        self._tell(step, "interrupted" if interrupted else "failed", begin)
        if interrupted and not self._errors:
            raise error if isinstance(error, KeyboardInterrupt) else KeyboardInterrupt from error
        if not isinstance(error, Exception):
            if not interrupted:
                raise error
            return  # stopped because of another step's error
        self._errors[step] = error
        order = list(self._nodes)
        self._interrupt([other for other in self._running if order.index(other) > order.index(step)])

    def _interrupt(self, steps: Sequence[str]) -> None:
        for step in steps:
            self._running[step].process.interrupt()


def _needed(node: pipeline_pb2.PipelineNode) -> set[str]:
    """The steps that must end before a step begins."""
    if node.node_info.id not in BEGINS_EARLY:
        return set(node.upstream_nodes)
    return {channel.producer_node_query.id for one in node.inputs.inputs.values() for channel in one.channels}


def _is_reused(outputs: dict[str, metadata_store_pb2.Artifact]) -> bool:
    """Whether a step ran only to find that its former result is still valid."""
    return any(REUSED in artifact.custom_properties for artifact in outputs.values())


def remove_leftovers(artifacts: Path) -> None:
    """Removes the temporary folders of killed runs."""
    for folder in temporary_folders(artifacts):
        shutil.rmtree(folder, ignore_errors=True)
