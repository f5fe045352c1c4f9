"""The stand-in for the backend: what it hands to a step, what it takes back, and what it says of a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError, TransomError
from pipeline.kubeflow.pipeline_yaml import Compiled
from pipeline.kubeflow.verify import LocalBackend

# A step as the contract wants it: it copies what it got into its output, and says so in the metadata.
STEP = """
import json, os, pathlib, sys
told, storage = json.loads(sys.argv[1]), pathlib.Path(sys.argv[-1])
out = told["outputs"]["artifacts"]["out"]["artifacts"][0]
folder = storage / "minio" / out["uri"].removeprefix("minio://")
assert folder.parent.is_dir() and not folder.exists() and os.listdir() == []
(folder / "empty").mkdir(parents=True)
inputs = {name: one["artifacts"][0] for name, one in told["inputs"]["artifacts"].items()}
files = {name: sorted(p.name for p in (storage / "minio" / one["uri"].removeprefix("minio://")).iterdir())
         for name, one in inputs.items()}
told["environment"] = dict(os.environ)
told["more"] = sys.argv[2:-2]
(folder / "told.json").write_text(json.dumps({"told": told, "files": files}))
out["metadata"] = {"good": True, "splits": ["a"]}
pathlib.Path(told["outputs"]["outputFile"]).write_text(json.dumps({"artifacts": {"out": {"artifacts": [out]}}}))
"""
FAILS = "import sys; print('transom: A: data.path; got: nothing', file=sys.stderr); print('noise'); sys.exit(3)"


def spec(**steps: dict[str, Any]) -> Compiled:
    """Steps with one output; `after` names the producer of their input, `code` what they run."""
    tasks, components, executors = {}, {}, {}
    for name, step in steps.items():
        after = step.get("after")
        tasks[name] = {
            "componentRef": {"name": name},
            "dependentTasks": [after] if after else [],
            "inputs": {
                "parameters": {"place": {"runtimeValue": {"constant": step.get("place", "")}}},
                "artifacts": {"in": {"taskOutputArtifact": {"producerTask": after, "outputArtifactKey": "out"}}}
                if after
                else {},
            },
            **step.get("task", {}),
        }
        components[name] = {
            "executorLabel": name,
            "outputDefinitions": {"artifacts": {"out": {"artifactType": {"schemaTitle": "t.T"}}}},
        }
        command = ["python", "-c", step.get("code", STEP)]
        executors[name] = {"container": {"command": command, "args": ["{{$}}"], **step.get("container", {})}}
    return Compiled(
        {
            "pipelineInfo": {"name": "p"},
            "root": {"dag": {"tasks": tasks}},
            "components": components,
            "deploymentSpec": {"executors": executors},
        },
        {},
    )


def told_to(backend: LocalBackend, artifacts: Any, step: str) -> Any:
    return json.loads((backend.folder(artifacts[step]["out"]) / "told.json").read_text())


def test_artifacts_arrive_without_type_and_empty_folders(tmp_path: Path) -> None:
    backend = LocalBackend(
        spec(A={}, B={"after": "A", "container": {"env": [{"name": "X", "value": "1"}]}}), {}, tmp_path, str
    )
    done = backend.run("run-1")
    told = told_to(backend, done, "B")
    arrived = told["told"]["inputs"]["artifacts"]["in"]["artifacts"][0]
    assert "type" not in arrived
    assert arrived["metadata"] == {"good": 1.0, "splits": {"list": ["a"]}}
    assert arrived["uri"] == "minio://mlpipeline/v2/artifacts/p/run-1/A/out"
    assert told["files"] == {"in": ["told.json"]}
    own = {"HOME", "LANG", "PATH", "TMPDIR", "X"}
    assert own <= set(told["told"]["environment"]) <= own | {"LC_CTYPE"}


def test_containers_folders_become_those_of_this_machine(tmp_path: Path) -> None:
    place = '{"preset": "/mnt/data/minilm", "other": "/mnt/database", "push": "/mnt/data/out/x"}'
    mounts = {"/mnt/data": Path("/here/mnt/data/out"), "/mnt/data/out": Path("/there")}
    backend = LocalBackend(spec(A={"place": place}), mounts, tmp_path, str)
    given = told_to(backend, backend.run("run-1"), "A")["told"]["inputs"]["parameterValues"]["place"]
    wanted = {"preset": "/here/mnt/data/out/minilm", "other": "/mnt/database", "push": "/there/x"}
    assert json.loads(given) == wanted


def test_so_do_those_of_variables_and_arguments(tmp_path: Path) -> None:
    container = {"env": [{"name": "HF_HOME", "value": "/mnt/data/hub"}], "args": ["{{$}}", "--cache=/mnt/data/hub"]}
    backend = LocalBackend(spec(A={"container": container}), {"/mnt/data": tmp_path / "d"}, tmp_path / "w", str)
    told = told_to(backend, backend.run("run-1"), "A")["told"]
    assert told["environment"]["HF_HOME"] == str(tmp_path / "d" / "hub")
    assert told["more"] == [f"--cache={tmp_path / 'd' / 'hub'}"]


def test_a_failed_step_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(TransomError) as caught:
        LocalBackend(spec(A={"code": FAILS}), {}, tmp_path, str).run("run-1")
    assert "the compiled step A failed in run-1" in caught.value.what
    assert caught.value.got == "exit code 3: transom: A: data.path; got: nothing"
    assert "log.txt" in caught.value.fix


def test_a_killed_step_is_tried_again_as_often_as_the_spec_says(tmp_path: Path) -> None:
    said: list[str] = []
    killed = "import os; os.kill(os.getpid(), 9)"
    steps = spec(A={"code": killed, "task": {"retryPolicy": {"maxRetryCount": 1}}})
    with pytest.raises(TransomError, match="exit code -9: it said nothing"):
        LocalBackend(steps, {}, tmp_path, said.append).run("run-1")
    assert len(said) == 2


def test_a_step_over_its_time_is_ended(tmp_path: Path) -> None:
    steps = spec(A={"code": "import time; time.sleep(60)"})
    executors = {"A": {"activeDeadlineSeconds": "1"}}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    with pytest.raises(TransomError, match="timeout of 1 s"):
        LocalBackend(Compiled(steps.spec, platform), {}, tmp_path, str).run("run-1")


def test_what_the_backend_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plain container"):
        LocalBackend(spec(A={"container": {"lifecycle": {}}}), {}, tmp_path, str).run("run-1")
    circle = spec(A={"after": "B"}, B={"after": "A"})
    with pytest.raises(ConfigError, match="no order for A, B"):
        LocalBackend(circle, {}, tmp_path, str).run("run-1")
