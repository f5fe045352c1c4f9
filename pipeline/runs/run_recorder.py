"""Runs the graph, and keeps the record of the run meanwhile."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import heap
from models.errors import TransomError
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from pipeline.runs import unchanged
from pipeline.runs.error_causes import disk_full_error, is_disk_full, known_error
from pipeline.runs.interruption import Interruption, explain_interruption
from pipeline.runs.other_training import OtherTraining
from pipeline.runs.row_places import add_places
from pipeline.runs.run_outcome import keep_findings, listed_rows, not_blessed_error, read_reports, set_status
from pipeline.runs.run_records import LOG_NAME, STEP_LOGS, RunRecord, StepRecord, step_log
from pipeline.runs.store import metadata_check
from pipeline.steps import TRAINER
from pipeline.terminal.console import View
from pipeline.terminal.user_messages import forwarded_messages

if TYPE_CHECKING:
    from pipeline.runs.local.local_runner import Outputs


class RunRecorder:
    """Runs the graph; as its listener, updates the run's record and the view."""

    def __init__(
        self,
        record: RunRecord,
        config_file: Path,
        paths: Paths,
        view: View,
        interruption: Interruption,
        outputs: Outputs,
        training: OtherTraining | None = None,
    ) -> None:
        self.config_file = config_file
        self.record, self.paths, self.view, self.interruption = record, paths, view, interruption
        self._begin = time.monotonic()
        self._outputs, self._training = outputs, training
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
            if self._training is not None:
                self.record.status = self._training.status
        except KeyboardInterrupt as stopped:
            interrupted = explain_interruption(stopped, self.record.steps)
            self.record.stop("interrupted", interrupted.render())
            read_reports(self.record, self._outputs)
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
            outcome.__cause__ = outcome.__cause__ or (error if outcome is not error else None)
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
        from pipeline.lineage.run_facts import tell_lineage
        from pipeline.runs.local import local_runner

        use_workers(None if config.beam.workers == "auto" else config.beam.workers)
        heap.keep_loaded()
        local_runner.remove_leftovers(self.paths.artifacts)
        pipeline = graph.build(config, self.paths)
        tell_lineage(config, self.config_file, self.record.name)
        try:
            local_runner.run(
                pipeline,
                self,
                self._outputs,
                from_steps=[from_step] if from_step else [],
                to_steps=[to_step] if to_step else [],
                logs=self.paths.runs / self.record.name / STEP_LOGS,
                forks=self._training is None,
            )
        finally:
            metadata_check.seal(self.paths)
        if self._training is not None:
            self._train(self._training, config)

    def _train(self, training: OtherTraining, config: ProjectConfig) -> None:
        """Runs what stands for the Trainer, under its name."""
        begin, status = time.monotonic(), "failed"
        self.started(TRAINER)
        try:
            training(config, self.paths, self._outputs, self.record, self.view)
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self.ended(TRAINER, status, time.monotonic() - begin, {})

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
        if status == "skipped" and self._training is not None:
            return  # only a run with --from or --to names them
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
