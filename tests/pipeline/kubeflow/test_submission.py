"""Submitting to a local API that responds with kfp_server_api's models."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import kfp_server_api as api
import pytest
import yaml

from pipeline import cli
from pipeline.kubeflow.schedules import MADE_BY

SPEC = {"pipelineInfo": {"name": "tiny"}, "schemaVersion": "2.1.0", "root": {"dag": {"tasks": {}}}}
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


class Cluster(ThreadingHTTPServer):
    """Records requests; has pipelines and recurring runs; refuses requests if `status` is not 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, bytes]] = []
        self.pipelines: list[api.V2beta1Pipeline] = []
        self.schedules: list[api.V2beta1RecurringRun] = []
        self.status = 200
        self.refuses_deletion = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def know(self, pipeline_id: str = "p1", namespace: str | None = None) -> None:
        self.pipelines.append(api.V2beta1Pipeline(pipeline_id=pipeline_id, display_name="tiny", namespace=namespace))

    def plan(self, number: int, name: str = "tiny 2026-01-31 03:00:00", **more: Any) -> None:
        """An existing recurring run."""
        pipeline, experiment = more.pop("pipeline", "p1"), more.pop("experiment", "e1")
        one = api.V2beta1RecurringRun(
            recurring_run_id=f"old{number}",
            display_name=name,
            mode="ENABLE",
            experiment_id=experiment,
            pipeline_version_reference=api.V2beta1PipelineVersionReference(pipeline_id=pipeline),
            trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron="0 0 4 * * *")),
            **more,
        )
        self.schedules.append(one)

    def _listed(self, query: dict[str, list[str]]) -> Any:
        """Two pages of pipelines: those of a namespace, or those without one."""
        (namespace,) = query.get("namespace", [""])
        found = [one for one in self.pipelines if (one.namespace or "") == namespace]
        first = not query.get("page_token", [""])[0] and len(found) > 1
        return api.V2beta1ListPipelinesResponse(
            pipelines=(found[:1] if first else found[-1:]) or None, next_page_token="2" if first else None
        )

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> Any:
        if (method, path) == ("GET", "/apis/v2beta1/pipelines"):
            return api.ApiClient().sanitize_for_serialization(self._listed(query))
        if method == "DELETE":
            self.schedules = [one for one in self.schedules if one.recurring_run_id != path.rpartition("/")[2]]
            return {}
        pipeline = api.V2beta1Pipeline(pipeline_id="p1", display_name="tiny")
        version = api.V2beta1PipelineVersion(pipeline_id="p1", pipeline_version_id="v1")
        answers = {
            ("GET", "/apis/v2beta1/recurringruns"): api.V2beta1ListRecurringRunsResponse(
                recurring_runs=self.schedules or None
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
        url = urlparse(self.path)
        path = url.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, path, body))
        refused = self.command == "DELETE" and self.server.refuses_deletion
        message = json.dumps({} if refused else self.server.answer(self.command, path, parse_qs(url.query))).encode()
        self.send_response(403 if refused else self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(message)))
        self.end_headers()
        self.wfile.write(message)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all([SPEC, PLATFORM]))
    return path


def posted(cluster: Cluster, path: str) -> dict[str, Any]:
    return next(
        json.loads(body) for method, requested, body in cluster.requests if (method, requested) == ("POST", path)
    )


def test_a_first_submission_uploads_both_documents_and_runs(cluster: Cluster, compiled: Path) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 0
    upload = next(body for _, path, body in cluster.requests if path.endswith("/pipelines/upload"))
    assert b"schemaVersion: 2.1.0" in upload
    assert b"platforms:" in upload
    run = posted(cluster, "/apis/v2beta1/runs")
    assert run["experiment_id"] == "e1"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "v1"


def test_a_later_submission_is_a_new_version(cluster: Cluster, compiled: Path) -> None:
    cluster.know()
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, "--service-account", "runner"]) == 0
    paths = [path for _, path, _ in cluster.requests]
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
    sent = posted(cluster, "/apis/v2beta1/recurringruns")
    assert sent["no_catchup"] is True
    for kind, schedule in trigger.items():
        assert {key: str(sent["trigger"][kind][key]) for key in schedule} == schedule


def test_a_run_that_was_waited_for_and_failed_is_a_failure(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, "--wait"]) == 1
    assert "run r1: FAILED" in capsys.readouterr().out


def test_a_refusal_is_one_screen(cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.status = 403
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 1
    output = capsys.readouterr().err
    assert "403" in output
    assert "KFP_API_TOKEN" in output


@pytest.mark.parametrize(
    ("content", "expected_text"),
    [
        ("a: [", "expected"),
        ("- 1", "no mapping"),
        ("pipelineInfo: {name: a}\nschemaVersion: 2.0.0", "2.0.0"),
        ("", "no"),
    ],
)
def test_what_is_no_compiled_pipeline_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, expected_text: str
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content)
    assert cli.main(["submit", str(path), "--endpoint", "http://127.0.0.1:1"]) == 2
    assert expected_text in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_one_screen(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", "http://127.0.0.1:1"]) == 1
    output = capsys.readouterr().err
    assert "port-forward" in output
    assert "Traceback" not in output


def test_a_cron_of_five_fields_is_refused(compiled: Path) -> None:
    assert cli.main(["submit", str(compiled), "--endpoint", "http://127.0.0.1:1", "--cron", "0 3 * * *"]) == 2


@pytest.mark.parametrize(("namespace", "wanted"), [("mine", "p2"), ("theirs", "p3"), (None, "p1"), ("new", None)])
def test_the_pipeline_of_the_namespace_gets_the_version(
    cluster: Cluster, compiled: Path, namespace: str | None, wanted: str | None
) -> None:
    for pipeline, place in (("p1", None), ("p2", "mine"), ("p3", "theirs")):
        cluster.know(pipeline, place)
    option = ["--namespace", namespace] if namespace else []
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, *option]) == 0
    paths = [path for _, path, _ in cluster.requests]
    assert ("/apis/v2beta1/pipelines/upload" in paths) == (wanted is None)
    assert ("/apis/v2beta1/pipelines/upload_version" in paths) == (wanted is not None)
    reference = posted(cluster, "/apis/v2beta1/runs")["pipeline_version_reference"]
    assert reference["pipeline_id"] == (wanted or "p1")


def test_several_pipelines_of_one_name_are_told_apart(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.know("p1")
    cluster.know("p2")
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 2
    output = capsys.readouterr().err
    assert "p1" in output
    assert "p2" in output
    assert "--namespace" in output


def resubmit(cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]) -> str:
    cluster.know()
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url, "--cron", "0 0 3 * * *"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("made", [{"name": "anything", "description": MADE_BY}, {}])
def test_a_second_schedule_takes_the_place_of_the_first(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str], made: dict[str, Any]
) -> None:
    cluster.plan(1, **made)
    output = resubmit(cluster, compiled, capsys)
    assert cluster.schedules == []
    assert "replaces recurring run old1" in output
    assert "0 0 4 * * *" in output
    methods = [method for method, path, _ in cluster.requests if path.startswith("/apis/v2beta1/recurringruns")]
    assert methods == ["GET", "POST", "DELETE"]  # never without a schedule
    assert posted(cluster, "/apis/v2beta1/recurringruns")["description"] == MADE_BY


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"name": "my own nightly run"}, True),
        ({"name": "tiny 2026-01-31 03:00:00", "description": "mine"}, True),
        ({"experiment": "e2", "description": MADE_BY}, True),
        ({"pipeline": "p9"}, False),
    ],
)
def test_schedules_that_submit_did_not_make_stay(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], expected: bool
) -> None:
    cluster.plan(1, **other)
    output = resubmit(cluster, compiled, capsys)
    assert [one.recurring_run_id for one in cluster.schedules] == ["old1"]
    assert ("another schedule, which is kept: recurring run old1" in output) == expected


def test_a_schedule_that_cannot_be_replaced_is_reported(
    cluster: Cluster, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.plan(1)
    cluster.refuses_deletion = True
    assert "there are now two schedules" in resubmit(cluster, compiled, capsys)


def test_a_single_run_leaves_schedules_alone(cluster: Cluster, compiled: Path) -> None:
    cluster.know()
    cluster.plan(1)
    assert cli.main(["submit", str(compiled), "--endpoint", cluster.url]) == 0
    assert len(cluster.schedules) == 1
