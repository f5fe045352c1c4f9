"""`transom run`: checks and locks the project, runs the graph, and reports the result."""

from __future__ import annotations

import atexit
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import compile_cache, heap
from models.errors import GateError, TransomError
from models.runtime import prepare
from pipeline import preflight
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from pipeline.preflight_folders import check_output
from pipeline.reports.run_report import try_to_write_report
from pipeline.runs import unchanged
from pipeline.runs.error_causes import disk_full_error, error_text, is_disk_full, known_error
from pipeline.runs.interruption import Interruption, explain_interruption, interruptible
from pipeline.runs.row_places import add_places
from pipeline.runs.run_lock import hold_lock
from pipeline.runs.run_outcome import keep_findings, listed_rows, not_blessed_error, read_reports, set_status
from pipeline.runs.run_records import LOG_NAME, STEP_LOGS, RunRecord, StepRecord, new_name, now, step_log
from pipeline.runs.run_tables import print_summary
from pipeline.runs.step_range import check_range, is_in_range
from pipeline.runs.store import metadata_check
from pipeline.runs.temporary_folders import scratch_folder, temporary_folder
from pipeline.steps import CHECKS
from pipeline.terminal import streams
from pipeline.terminal.console import View
from pipeline.terminal.run_log import captured_output
from pipeline.terminal.user_messages import forwarded_messages

if TYPE_CHECKING:
    from pipeline.runs.local.local_runner import Outputs


def run(
    config_file: Path,
    overrides: list[str],
    *,
    from_step: str | None = None,
    to_step: str | None = None,
    as_json: bool = False,
    wait: bool = False,
    verbose: bool = False,
    outputs: Outputs | None = None,
) -> int:
    """Runs the pipeline of a configuration file; returns 0 if the model was pushed or no push was requested.

    Args:
        outputs: gets the artifacts of the steps.

    Raises:
        TransomError: an error that the user can fix; NotBlessedError if the model is not good enough.
        Interrupted: Ctrl-C or SIGTERM stopped it; a plain KeyboardInterrupt before its first step.
    """
    config = load(config_file, overrides)
    check_range(config, from_step, to_step)
    paths = Paths.from_config(config, config_file)
    check_output(paths)
    paths.make_root()
    with hold_lock(paths.lock, lambda: new_name(paths), wait) as name:
        record = RunRecord(name=name, status="running", started=now(), config=config.model_dump(mode="json"))
        try:
            with interruptible() as interruption, _recorded(record, paths):
                trains = is_in_range("Trainer", from_step, to_step)
                outcome = _preflight(record, config, paths, trains)
                if outcome is None:
                    if trains:
                        compile_cache.use(config.train.onednn, _process_folder)
                    with temporary_folder(), captured_output(paths.runs / name / LOG_NAME, as_json, verbose) as view:
                        interruption.on_first = view.say_ending
                        interruption.on_second = view.abandon
                        recorder = _Recorder(record, paths, view, interruption, {} if outputs is None else outputs)
                        if from_step is None and outputs is None:
                            outcome = recorder.run_unless_unchanged(config, to_step)
                        else:
                            outcome = recorder.run(config, from_step, to_step)
        except KeyboardInterrupt:
            if as_json:
                _print(record, paths, as_json=True)
            raise
        except OSError as error:  # there is no room for the record itself
            if not is_disk_full(error):
                raise
            raise disk_full_error(f"no room in {paths.output}") from error
    _print(record, paths, as_json)
    if outcome is not None:
        raise outcome
    return 0


def _print(record: RunRecord, paths: Paths, as_json: bool) -> None:
    try:
        print_summary(record, paths, sys.stdout, as_json=as_json)
    except BrokenPipeError:  # the reader has exited; the exit code is still returned
        streams.drop_output()


def _preflight(record: RunRecord, config: ProjectConfig, paths: Paths, trains: bool) -> TransomError | None:
    """The error that stops the run before its first step, if there is one; it is also recorded."""
    try:
        preflight.check(config, paths, trains=trains)
        prepare(config.train.onednn)  # before the compile cache is found, which depends on what it sets
    except TransomError as error:
        # Some of the data gate's rules are already checked here.
        record.stop("failed", error.render(), "DataGate" if isinstance(error, GateError) else CHECKS)
        keep_findings(record, error)
        return error
    return None


def _process_folder() -> Path:
    """A folder that is removed when this process ends: XLA may compile after the run."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(scratch_folder())


@contextmanager
def _recorded(record: RunRecord, paths: Paths) -> Iterator[None]:
    """Saves the run's record before the block, and after it with the error that ended it."""
    begin = time.monotonic()
    record.save(paths)
    try:
        yield
    except KeyboardInterrupt:
        record.stop("interrupted", record.error or "interrupted by Ctrl-C or SIGTERM")
        raise
    except BaseException as error:
        record.stop("failed", error_text(error))
        raise
    finally:
        record.seconds = round(time.monotonic() - begin, 3)
        record.ended = now()
        record.save(paths)
        try_to_write_report(record, paths.runs / record.name)


class _Recorder:
    """Runs the graph; as its listener, updates the run's record and the view."""

    def __init__(
        self, record: RunRecord, paths: Paths, view: View, interruption: Interruption, outputs: Outputs
    ) -> None:
        self.record, self.paths, self.view, self.interruption = record, paths, view, interruption
        self._begin = time.monotonic()
        self._outputs = outputs
        self._gone: list[str] = []

    def run_unless_unchanged(self, config: ProjectConfig, to_step: str | None) -> TransomError | None:
        """Runs the graph, if a step has anything to do, and keeps its record; returns the error that ended it."""
        inputs = unchanged.digest_inputs(config, self.paths)
        former = unchanged.recall(inputs, self.paths, to_step) if inputs is not None else None
        if former is not None and self._all_is_there():
            unchanged.repeat(former, self.record)
            self.view.say(f"{config.name}: run {self.record.name}, nothing has changed since run {former.name}")
            self.planned([step.name for step in self.record.steps if step.status != "skipped"])
            for step in self.record.steps:
                self.view.ended(step.name, step.status, 0.0)
            self._save()
            return not_blessed_error(self.record) if self.record.status == "not blessed" else None
        outcome = self.run(config, None, to_step)
        artifacts = [one.id for found in self._outputs.values() for one in found.values()]
        unchanged.remember(inputs, self.record, config, self.paths, artifacts, to_step)
        return outcome

    def _all_is_there(self) -> bool:
        """Whether the metadata store and all artifacts are as the last run left them."""
        try:
            self._gone = metadata_check.check(self.paths)
        except TransomError:  # `run` finds and reports it
            return False
        metadata_check.seal(self.paths)
        return not self._gone

    def run(self, config: ProjectConfig, from_step: str | None, to_step: str | None) -> TransomError | None:
        """Runs the graph and keeps its record; returns the error that ended it, if any."""
        self._save()
        outcome: TransomError | None = None
        try:
            with forwarded_messages(self._note):
                self._run(config, from_step, to_step)
            read_reports(self.record, self._outputs)
            add_places(listed_rows(self.record), config, self.paths.base)
            outcome = set_status(self.record, self._outputs)
        except KeyboardInterrupt as stopped:
            interrupted = explain_interruption(stopped, self.record.steps)
            self.record.stop("interrupted", interrupted.render())
            raise interrupted from stopped
        except Exception as error:
            if not isinstance(error, TransomError):
                logging.getLogger(__name__).exception("the run failed")
            known = (
                None
                if is_disk_full(error)
                else known_error(error) or metadata_check.explain_store_error(error, self.paths)
            )
            outcome = known or self._unexpected(error)
            self.record.stop("failed", outcome.render())
            keep_findings(self.record, outcome)
            read_reports(self.record, self._outputs)  # keeps the measurements if only the push failed
        finally:
            self._save()
        return outcome

    def _run(self, config: ProjectConfig, from_step: str | None, to_step: str | None) -> None:
        gone = sorted({*self._gone, *metadata_check.check(self.paths)})
        self.view.say(f"{config.name}: run {self.record.name}, loading TensorFlow and TFX")
        if gone:
            why = "removed, or the project was moved"
            self.view.say(f"results of {', '.join(gone)} are missing ({why}): the steps that need them run again")
        # TFX passes sys.argv to absl's flags, which do not know Transom's arguments.
        sys.argv = sys.argv[:1]
        from components.gathered import use_workers
        from pipeline import graph
        from pipeline.runs.local import local_runner

        use_workers(None if config.beam.workers == "auto" else config.beam.workers)
        heap.keep_loaded()
        local_runner.remove_leftovers(self.paths.artifacts)
        pipeline = graph.build(config, self.paths)
        try:
            local_runner.run(
                pipeline,
                self,
                self._outputs,
                from_steps=[from_step] if from_step else [],
                to_steps=[to_step] if to_step else [],
                logs=self.paths.runs / self.record.name / STEP_LOGS,
            )
        finally:
            metadata_check.seal(self.paths)

    def _unexpected(self, error: Exception) -> TransomError:
        step = next((step.name for step in self.record.steps if step.status == "failed"), "start")
        if is_disk_full(error):
            return disk_full_error(f"{step}: no room in {self.paths.output}")
        folder = self.paths.runs / self.record.name
        return TransomError(
            f"{step}: {type(error).__name__}",
            got=str(error).strip().splitlines()[0][:500] if str(error).strip() else "",
            fix=f"read {step_log(folder, step) or folder / LOG_NAME}; if it looks like a bug in Transom, report it",
        )

    def planned(self, steps: Sequence[str]) -> None:
        self.view.plan(steps)

    def started(self, step: str) -> None:
        self.record.steps.append(StepRecord(step, "running"))
        self.view.started(step)
        self._save()
        if self.interruption.requested:  # and caught by the previous step
            raise KeyboardInterrupt

    def ended(self, step: str, status: str, seconds: float, used: Mapping[str, Any]) -> None:
        if status == "skipped":
            self.record.steps.append(StepRecord(step, status))
        else:
            place = [one.name for one in self.record.steps].index(step)
            self.record.steps[place] = StepRecord(step, status, round(seconds, 3), **used)
        self.view.ended(step, status, seconds, used)
        self._save()

    def _note(self, text: str, step: str) -> None:
        running = [step.name for step in self.record.steps if step.status == "running"]
        self.record.notes.append({"step": step or (running[-1] if running else ""), "text": text})
        self._save()

    def _save(self) -> None:
        self.record.seconds = round(time.monotonic() - self._begin, 3)
        usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        kilobytes = max(usage.ru_maxrss for usage in usages)
        self.record.peak_memory_bytes = kilobytes * (1 if sys.platform == "darwin" else 1024)
        self.record.save(self.paths)
