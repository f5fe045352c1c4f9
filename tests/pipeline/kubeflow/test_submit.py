"""Submitting, against a local API that answers as kfp_server_api's own models say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import kfp_server_api as api
import pytest
import yaml

from pipeline import cli

SPEC = {"pipelineInfo": {"name": "tiny"}, "schemaVersion": "2.1.0", "root": {"dag": {"tasks": {}}}}
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


class Cluster(ThreadingHTTPServer):
    """Keeps what it was asked; knows the pipeline `tiny` where `known`; refuses where `status` is not 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, bytes]] = []
        self.known, self.status = False, 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str) -> Any:
        pipeline = api.V2beta1Pipeline(pipeline_id="p1", display_name="tiny")
        version = api.V2beta1PipelineVersion(pipeline_id="p1", pipeline_version_id="v1")
        answers = {
            ("GET", "/apis/v2beta1/pipelines"): api.V2beta1ListPipelinesResponse(
                pipelines=[pipeline] if self.known else None
            ),
            ("POST", "/apis/v2beta1/pipelines/upload"): pipeline,
            ("POST", "/apis/v2beta1/pipelines/upload_version"): version,
            ("GET", "/apis/v2beta1/pipelines/p1/versions"): api.V2beta1ListPipelineVersionsResponse(
                pipeline_versions=[version]
            ),
            ("GET", "/apis/v2beta1/experiments"): api.V2beta1ListExperimentsResponse(experiments=None),
            ("POST", "/apis/v2beta1/experiments"): api.V2beta1Experiment(experiment_id="e1"),
            ("POST", "/apis/v2beta1/runs"): api.V2beta1Run(run_id="r1"),
            ("GET", "/apis/v2beta1/runs/r1"): api.V2beta1Run(run_id="r1", state="FAILED"),
            ("POST", "/apis/v2beta1/recurringruns"): api.V2beta1RecurringRun(recurring_run_id="rr1"),
        }
        return api.ApiClient().sanitize_for_serialization(answers.get((method, path), {}))


class Handler(BaseHTTPRequestHandler):
    server: Cluster

    def _answer(self) -> None:
        path = urlparse(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, path, body))
        said = json.dumps(self.server.answer(self.command, path)).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all([SPEC, PLATFORM]))
    return path


def posted(cluster: Cluster, path: str) -> dict[str, Any]:
    return next(json.loads(body) for method, asked, body in cluster.asked if (method, asked) == ("POST", path))


def test_a_first_submission_uploads_both_documents_and_runs(cluster: Cluster, compiled: Path) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 0
    upload = next(body for _, path, body in cluster.asked if path.endswith("/pipelines/upload"))
    assert b"schemaVersion: 2.1.0" in upload
    assert b"platforms:" in upload
    run = posted(cluster, "/apis/v2beta1/runs")
    assert run["experiment_id"] == "e1"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "v1"


def test_a_later_submission_is_a_new_version(cluster: Cluster, compiled: Path) -> None:
    cluster.known = True
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, "--service-account", "runner"]) == 0
    paths = [path for _, path, _ in cluster.asked]
    assert "/apis/v2beta1/pipelines/upload_version" in paths
    assert "/apis/v2beta1/pipelines/upload" not in paths
    assert posted(cluster, "/apis/v2beta1/runs")["service_account"] == "runner"


@pytest.mark.parametrize(
    ("option", "trigger"),
    [
        (["--cron", "0 0 3 * * *"], {"cron_schedule": {"cron": "0 0 3 * * *"}}),
        (["--every", "6"], {"periodic_schedule": {"interval_second": "21600"}}),
    ],
)
def test_a_recurring_run_reads_new_data_and_makes_up_for_nothing(
    cluster: Cluster, compiled: Path, option: list[str], trigger: dict[str, Any]
) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, *option]) == 0
    told = posted(cluster, "/apis/v2beta1/recurringruns")
    assert told["no_catchup"] is True
    for kind, schedule in trigger.items():
        assert {key: str(told["trigger"][kind][key]) for key in schedule} == schedule


def test_a_run_that_was_waited_for_and_failed_is_a_failure(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, "--wait"]) == 1
    assert "run r1: FAILED" in capsys.readouterr().out


def test_a_refusal_is_one_screen(cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.status = 403
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 1
    said = capsys.readouterr().err
    assert "403" in said
    assert "KFP_API_TOKEN" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "expected"),
        ("- 1", "no mapping"),
        ("pipelineInfo: {name: a}\nschemaVersion: 2.0.0", "2.0.0"),
        ("", "no"),
    ],
)
def test_what_is_no_compiled_pipeline_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content)
    assert cli.main(["submit", str(path), "--endpoint", "http://127.0.0.1:1"]) == 2
    assert said in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_one_screen(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "port-forward" in said
    assert "Traceback" not in said


def test_a_cron_of_five_fields_is_refused(compiled: Path) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", "http://127.0.0.1:1", "--cron", "0 3 * * *"]) == 2
