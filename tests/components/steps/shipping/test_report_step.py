"""The step Report: the page from the other steps' files; as one file on Kubeflow, whose viewer reads one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_facts import EDGE, SERVING, TRAINING, run_facts
from tfx.types import standard_artifacts
from tiny_artifacts import artifact

from components.artifacts import DataBlessing, ReportArtifact
from components.steps.shipping.report_step import Executor
from components.tfx_step import BeamExecutor
from pipeline.kubeflow.entrypoint import _publish_files

PUSHED = {"pushed": True, "new": True, "version": 17, "destination": "", "bundle": "", "reason": "pushed"}


def run(folder: Path, pushed: dict[str, Any], *, edge: bool = True) -> Any:
    """The output artifact of a run of the step on the facts of a made-up run."""
    (folder / "rows").mkdir()
    facts = run_facts(folder / "rows")
    files: dict[str, tuple[Any, dict[str, Any]]] = {
        "data_blessing": (DataBlessing, {"data.json": facts.data, "findings.json": facts.findings}),
        "model_run": (standard_artifacts.ModelRun, {"training.json": TRAINING}),
        "evaluation": (standard_artifacts.ModelEvaluation, {"summary.json": facts.evaluation, "rows.json": facts.rows}),
        "serving_blessing": (standard_artifacts.InfraBlessing, {"serving.json": SERVING}),
        "pushed_model": (standard_artifacts.PushedModel, {"pushed.json": pushed}),
    }
    if edge:
        files["edge_blessing"] = (standard_artifacts.InfraBlessing, {"edge_report.json": EDGE})
    inputs = {}
    for name, (kind, contents) in files.items():
        inputs[name] = [artifact(kind, folder / name)]
        for file, content in contents.items():
            (folder / name / file).write_text(json.dumps(content), encoding="utf-8")
    report = artifact(ReportArtifact, folder / "report")
    context = BeamExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    Executor(context).Do(inputs, {"report": [report]}, {"config": json.dumps(dict(facts.config)), "code": ""})
    return report


def test_the_page_has_what_the_steps_found(tmp_path: Path) -> None:
    destination = tmp_path / "pushed" / "17"
    (destination / "assets.extra").mkdir(parents=True)
    (destination / "assets.extra" / "lineage.json").write_text(
        '{"origin": {"code": {"commit": "0123abc"}}}', encoding="utf-8"
    )
    page = Path(run(tmp_path, {**PUSHED, "destination": str(destination)}).uri, "report.html").read_text(
        encoding="utf-8"
    )
    for fact in ("the new model is live", "95% interval", "0123abc", "dynamic_int8", "milliseconds", str(destination)):
        assert fact in page


@pytest.mark.parametrize(
    ("pushed", "words"),
    [
        ({**PUSHED, "new": False}, "live already"),
        ({"pushed": False, "reason": "not blessed"}, "did not pass its gates"),
    ],
)
def test_what_became_of_the_model_is_the_verdict(pushed: dict[str, Any], words: str, tmp_path: Path) -> None:
    page = Path(run(tmp_path, pushed, edge=False).uri, "report.html").read_text(encoding="utf-8")
    assert words in page
    assert page.count("<section ") == 13


def test_on_kubeflow_the_artifact_is_the_page_itself(tmp_path: Path) -> None:
    report = run(tmp_path, PUSHED)
    _publish_files({"report": [report]})
    assert Path(report.uri).read_text(encoding="utf-8").startswith("<!doctype html>")
    _publish_files({"report": [report]})
    assert Path(report.uri).is_file()
