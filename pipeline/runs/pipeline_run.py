"""`transom run`: checks and locks the project, runs the graph, and reports the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models import compile_cache
from models.errors import GateError, TransomError
from models.runtime import prepare
from pipeline import preflight
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from pipeline.preflight_folders import check_output
from pipeline.reports.run_report import try_to_write_report
from pipeline.reports.run_tables import print_summary
from pipeline.runs.error_causes import disk_full_error, error_text, is_disk_full
from pipeline.runs.interruption import interruptible
from pipeline.runs.other_training import OtherTraining
from pipeline.runs.run_lock import hold_lock
from pipeline.runs.run_outcome import keep_findings
from pipeline.runs.run_recorder import RunRecorder
from pipeline.runs.run_records import LOG_NAME, RunRecord, new_name, now
from pipeline.runs.step_range import check_range, is_in_range
from pipeline.runs.temporary_folders import process_folder, temporary_folder
from pipeline.steps import CHECKS, TRAINER
from pipeline.terminal import streams
from pipeline.terminal.run_log import captured_output

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
    instead_of_training: OtherTraining | None = None,
) -> int:
    """Runs the pipeline of a configuration file; returns 0 if the model was pushed or no push was requested.

    Args:
        outputs: gets the artifacts of the steps.
        instead_of_training: runs after the step before the training, which `to_step` names; no step is forked.

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
                trains = is_in_range(TRAINER, from_step, to_step)
                outcome = _preflight(record, config, paths, trains)
                if outcome is None:
                    if trains:
                        compile_cache.use(config.train.onednn, process_folder)
                    with temporary_folder(), captured_output(paths.runs / name / LOG_NAME, as_json, verbose) as view:
                        interruption.on_first = view.say_ending
                        interruption.on_second = view.abandon
                        found = {} if outputs is None else outputs
                        recorder = RunRecorder(
                            record, config_file, paths, view, interruption, found, instead_of_training
                        )
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
