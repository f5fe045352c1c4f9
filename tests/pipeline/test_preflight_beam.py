"""Settings of Beam that would be ignored, or lose results, are refused with what to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import StandardOptions

from components.beam_config import RUNNERS
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
        ({"runner": "dataflow"}, "transom submit"),
        ({"steps": {"DataGate": {"runner": "DataflowRunner"}}}, "beam.steps.DataGate.runner"),
        ({"runner": "PortableRunner"}, "no job_endpoint"),
        ({"runner": "PortableRunner", "options": {"job_endpoint": 5}}, "HOST:PORT"),
        ({"runner": "PortableRunner", "options": {"job_endpoint": "localhost:99999"}}, "nothing answers"),
        ({"runner": "PortableRunner", "options": {"job_endpoint": "localhost:1"}}, "nothing answers at localhost:1"),
        (
            {"steps": {"Transform": {"runner": "Flink", "options": {"flink_master": "x:1"}}}},
            "Transform.options",
        ),
    ],
)
def test_what_would_not_work_is_refused(beam: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_beam(config(**beam), runs_here=True)
    assert message in str(caught.value)


def test_what_works_passes() -> None:
    check_beam(config(), runs_here=True)
    check_beam(config(runner="FlinkRunner", options={"flink_master": "host:8081"}), runs_here=False)
    check_beam(config(runner="FlinkRunner", options={"flink_master": "[local]"}), runs_here=True)
    with socket.create_server(("localhost", 0)) as server:
        endpoint = f"localhost:{server.getsockname()[1]}"
        check_beam(config(runner="PortableRunner", options={"job_endpoint": endpoint}), runs_here=True)
    check_beam(config(runner="DataflowRunner", options={"region": "europe-west4"}), runs_here=False)
    check_beam(config(steps={"Transform": {"runner": "SparkRunner"}}, options={"parallelism": 2}), runs_here=True)


def test_runners_are_those_of_beam_by_any_of_its_spellings() -> None:
    assert set(RUNNERS) == set(StandardOptions.KNOWN_RUNNER_NAMES)
    assert [config(runner=name).beam.runner for name in ("flink", "FLINKRUNNER", "some.module.Runner")] == [
        "FlinkRunner",
        "FlinkRunner",
        "some.module.Runner",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runner: DaskRunner", "DaskRunner is refused, because it loses results"),
        ("runner: apache_beam.runners.dask.dask_runner.DaskRunner", "DaskRunner is refused"),
        ("runner: dask", "DaskRunner is refused"),
        ("runner: interactive", "InteractiveRunner is refused"),
        ("runner: FlinkRuner", "did you mean FlinkRunner?"),
        ("runner: Hadoop", "a runner that Beam knows"),
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
