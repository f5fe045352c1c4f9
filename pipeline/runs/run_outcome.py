"""What a run found: the reports of its steps, and its status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.report.step_reports import StepReport, read_step_reports, verdict_of
from components.report.training_losses import read_losses
from models.errors import GateError, NotBlessedError, TransomError
from pipeline.runs.run_records import ALREADY_LIVE, UNCHANGED, RunRecord

if TYPE_CHECKING:
    from pipeline.runs.local.local_runner import Outputs


def read_reports(record: RunRecord, outputs: Outputs) -> None:
    """Fills the record from the steps' outputs."""

    def folder_of(report: StepReport) -> Path | None:
        artifact = outputs.get(report.step, {}).get(report.output)
        return None if artifact is None else Path(artifact.uri)

    found = read_step_reports(folder_of)
    record.tables = found.get("tables", {})
    record.data = found.get("data", record.data)
    record.findings = found.get("findings", record.findings)
    record.training = found.get("training", {})
    if record.training:
        logs = Path(outputs["Trainer"]["model_run"].uri, "logs", "train")
        record.training["losses"] = [list(point) for point in read_losses(logs)]
    record.evaluation, record.rows = found.get("evaluation", {}), found.get("rows", {})
    if record.rows:
        record.rows["folder"] = outputs["Evaluator"]["evaluation"].uri  # has the predictions of all rows
    record.serving, record.edge = found.get("serving", {}), found.get("edge", {})
    record.verdict = verdict_of(record.evaluation, record.serving)


def keep_findings(record: RunRecord, error: TransomError) -> None:
    """Adds to the record what the data gate found before it stopped the run; its files are gone."""
    if isinstance(error, GateError):
        record.findings, record.data = list(map(dict, error.findings)), dict(error.data)


def listed_rows(record: RunRecord) -> list[dict[str, Any]]:
    """All rows that the record lists: likely label errors, and the surest mistakes."""
    found = (record.evaluation.get("label_errors", {}).get("rows", []), record.rows.get("wrong", {}).get("listed", []))
    return [row for rows in found for row in rows]


def set_status(record: RunRecord, outputs: Outputs) -> TransomError | None:
    """Sets the status of a run whose steps all ended; returns an error if the model was not blessed.

    A run that ends before the Pusher (`--to Evaluator`) tells by its exit code, too, what it has found.
    """
    pushed = outputs.get("Pusher", {}).get("pushed_model")
    if pushed is None and record.evaluation.get("blessed", True) and record.serving.get("blessed", True):
        record.status = UNCHANGED if record.is_idle() else "finished"
        return None
    properties = {} if pushed is None else pushed.custom_properties
    if pushed is not None and properties["pushed"].int_value:
        # A cached step pushed nothing in this run, even if it did in the run it was cached from.
        ran = any(step.name == "Pusher" and step.status == "done" for step in record.steps)
        record.status = "pushed" if ran and properties["new"].int_value else ALREADY_LIVE
        if record.is_idle():
            record.status = UNCHANGED
        record.pushed = properties["pushed_destination"].string_value
        record.bundle = properties["pushed_bundle"].string_value if "pushed_bundle" in properties else ""
        return None
    record.status = "not blessed"
    record.step = "ServingGate" if record.evaluation.get("blessed", True) else "Evaluator"
    return not_blessed_error(record)


def not_blessed_error(record: RunRecord) -> NotBlessedError:
    """Why the model of a run was not blessed, and what to do."""
    fix = "see the slices above; improve the data or the settings, or lower evaluation.thresholds"
    if any(not baseline["passed"] for baseline in record.evaluation.get("baselines", {}).values()):
        fix = "see the baselines above: train longer, use a preset, get more or better labels, or accept it as it is"
    if (record.evaluation.get("comparison") or {}).get("why_not"):
        fix = "compare the two by hand; then let this run replace the live model, as described above"
    if record.step == "ServingGate":
        fix = "the evaluation blessed the model, but the serving gate did not: see `serving` in run.json"
    return NotBlessedError(record.verdict or "the model was not blessed", fix=fix)
