"""Settings of Beam that would be ignored, or lose results, are refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.preflight_beam import check_beam


def config(**beam: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"data": {"path": "t.csv"}, "beam": beam})


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        ({"runner": "FlinkRunner", "options": {"flink_maste": "host"}}, "did you mean flink_master"),
        ({"options": {"region": "x"}}, "set beam.runner"),
        ({"steps": {"Transfrom": {}}}, "did you mean Transform"),
        ({"steps": {"Trainer": {"runner": "FlinkRunner"}}}, "a step that uses Beam"),
        ({"runner": "DataflowRunner"}, "transom submit"),
        ({"steps": {"DataGate": {"runner": "DataflowRunner"}}}, "beam.steps.DataGate.runner"),
    ],
)
def test_what_would_not_work_is_refused(beam: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_beam(config(**beam), runs_here=True)
    assert message in str(caught.value)


def test_what_works_passes() -> None:
    check_beam(config(), runs_here=True)
    check_beam(config(runner="FlinkRunner", options={"flink_master": "host:8081"}), runs_here=True)
    check_beam(config(runner="DataflowRunner", options={"region": "europe-west4"}), runs_here=False)
    check_beam(config(steps={"Transform": {"runner": "SparkRunner"}}, options={"parallelism": 2}), runs_here=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runner: DaskRunner", "DaskRunner is refused, because it loses results"),
        ("runner: apache_beam.runners.dask.dask_runner.DaskRunner", "DaskRunner is refused"),
        ("options: {runner: FlinkRunner}", "set beam.runner"),
        ("options: {direct_num_workers: 2}", "set beam.workers"),
        ("workers: 0", "beam.workers"),
        ("workers: true", "beam.workers"),
    ],
)
def test_what_loses_results_or_belongs_elsewhere_is_no_setting(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "transom.yaml").write_text(f"data: {{path: t.csv}}\nbeam:\n  {line}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "transom.yaml", [])
    assert message in str(caught.value)
