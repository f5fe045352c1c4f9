"""`transom run --debug`: the data steps, then some steps of the training, eagerly. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ProjectConfig
from pipeline.inspection.debug_lines import row_lines, step_lines
from pipeline.inspection.post_mortem import end_debugging
from pipeline.paths import Paths
from pipeline.runs.pipeline_run import run
from pipeline.runs.run_records import RunRecord
from pipeline.runs.temporary_folders import scratch_folder
from pipeline.steps import BEFORE_TRAINING
from pipeline.terminal.console import View

if TYPE_CHECKING:
    from models.training.inspection.debug_training import DebugStep
    from models.training.inspection.not_finite import Finding
    from pipeline.inspection.prepared_rows import PreparedRows
    from pipeline.runs.local.local_runner import Outputs


def run_debug(config_file: Path, overrides: list[str], *, steps: int, as_json: bool, wait: bool, verbose: bool) -> int:
    """Runs a project up to its training, of which it takes some steps that are checked; returns the exit code.

    Raises:
        TransomError: of the checks, the data steps, or off a terminal, of the training.
        Interrupted: Ctrl-C or SIGTERM stopped it.
    """
    training = _DebugTraining(steps)
    try:
        return run(
            config_file,
            overrides,
            to_step=BEFORE_TRAINING,
            as_json=as_json,
            wait=wait,
            verbose=verbose,
            outputs={},
            instead_of_training=training,
        )
    except Exception as error:  # noqa: BLE001  # whatever it is, it can be looked at
        return end_debugging(error, in_training=training.began, as_json=as_json, verbose=verbose)


@dataclass
class _DebugTraining:
    """A `pipeline.runs.other_training.OtherTraining`.

    Attributes:
        steps: to be taken.
        began: whether the training has begun: what stops it from there on is what the user looks for.
    """

    steps: int
    began: bool = False
    status: str = "debugged"
    _taken: list[DebugStep] = field(default_factory=list)

    def __call__(self, config: ProjectConfig, paths: Paths, outputs: Outputs, record: RunRecord, view: View) -> None:
        from models.training.inspection.debug_training import debug, debugged
        from models.training.inspection.not_finite import NotFiniteError
        from pipeline.inspection.prepared_rows import PreparedRows

        record.debug = {"steps_wanted": self.steps, "steps": [], "stopped": {}}
        self.began = True
        with scratch_folder() as folder:
            prepared = PreparedRows(config, paths, outputs, folder)
            settings, notes = debugged(prepared.models_config)
            for note in notes:
                view.say(note)
            try:
                debug(prepared.request(settings), self.steps, on_note=view.say, on_step=self._reporter(record, view))
            except NotFiniteError as error:
                self._tell(view)
                record.debug["stopped"] = stopped = _stopped(error.finding, prepared)
                if view.as_json:
                    view.show({"event": "not finite", **stopped})
                for line in [] if view.as_json else row_lines(stopped):
                    view.say(line)
                raise
            self._tell(view)

    def _reporter(self, record: RunRecord, view: View) -> Callable[[DebugStep], None]:
        def report(step: DebugStep) -> None:
            self._taken.append(step)
            record.debug["steps"].append(asdict(step))
            view.progress(f"step {step.step} of {self.steps}, loss {step.loss:.4f}")
            if view.as_json:
                view.show({"event": "debug step", **asdict(step)})

        return report

    def _tell(self, view: View) -> None:
        for line in [] if view.as_json else step_lines(self._taken):
            view.say(line)


def _stopped(finding: Finding, prepared: PreparedRows) -> dict[str, Any]:
    """The finding as JSON values, with the batch's rows in words."""
    rows = prepared.describe(finding.batch)
    for row in rows:
        row["not_finite"] = row["row"] in finding.rows
    nan, infinite, total = finding.counts
    return {
        "kind": finding.kind,
        "where": finding.where,
        "also": list(finding.others),
        "step": finding.step,
        "nan": nan,
        "infinite": infinite,
        "numbers": total,
        "rows": rows,
    }
