"""The local backend: the inputs of a step, its outputs, and how a failure is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError, TransomError
from pipeline.kubeflow.local_backend import LocalBackend
from pipeline.kubeflow.pipeline_yaml import Compiled

# A step that follows the contract: it records its input in its output, and sets metadata.
STEP = """
import json, os, pathlib, sys
executor_input, storage = json.loads(sys.argv[1]), pathlib.Path(sys.argv[-1])
out = executor_input["outputs"]["artifacts"]["out"]["artifacts"][0]
folder = storage / "minio" / out["uri"].removeprefix("minio://")
assert folder.parent.is_dir() and not folder.exists() and os.listdir() == []
(folder / "empty").mkdir(parents=True)
inputs = {name: one["artifacts"][0] for name, one in executor_input["inputs"]["artifacts"].items()}
files = {name: sorted(p.name for p in (storage / "minio" / one["uri"].removeprefix("minio://")).iterdir())
         for name, one in inputs.items()}
executor_input["environment"] = dict(os.environ)
executor_input["more"] = sys.argv[2:-2]
(folder / "recorded.json").write_text(json.dumps({"executor_input": executor_input, "files": files}))
out["metadata"] = {"good": True, "splits": ["a"]}
result = {"artifacts": {"out": {"artifacts": [out]}}}
pathlib.Path(executor_input["outputs"]["outputFile"]).write_text(json.dumps(result))
"""
FAILS = "import sys; print('transom: A: data.path; got: nothing', file=sys.stderr); print('noise'); sys.exit(3)"


def spec(**steps: dict[str, Any]) -> Compiled:
    """Steps with one output; `after` names the producer of their input, `code` is their program."""
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


def read_recorded(backend: LocalBackend, artifacts: Any, step: str) -> Any:
    return json.loads((backend.folder(artifacts[step]["out"]) / "recorded.json").read_text())


def test_artifacts_arrive_without_type_and_empty_folders(tmp_path: Path) -> None:
    backend = LocalBackend(
        spec(A={}, B={"after": "A", "container": {"env": [{"name": "X", "value": "1"}]}}), {}, tmp_path, str
    )
    done = backend.run("run-1")
    recorded = read_recorded(backend, done, "B")
    arrived = recorded["executor_input"]["inputs"]["artifacts"]["in"]["artifacts"][0]
    assert "type" not in arrived
    assert arrived["metadata"] == {"good": 1.0, "splits": {"list": ["a"]}}
    assert arrived["uri"] == "minio://mlpipeline/v2/artifacts/p/run-1/A/out"
    assert recorded["files"] == {"in": ["recorded.json"]}
    own = {"HOME", "LANG", "PATH", "TMPDIR", "X"}
    assert own <= set(recorded["executor_input"]["environment"]) <= own | {"LC_CTYPE"}


def test_containers_folders_become_those_of_this_machine(tmp_path: Path) -> None:
    place = '{"preset": "/mnt/data/minilm", "other": "/mnt/database", "push": "/mnt/data/out/x"}'
    mounts = {"/mnt/data": Path("/here/mnt/data/out"), "/mnt/data/out": Path("/there")}
    backend = LocalBackend(spec(A={"place": place}), mounts, tmp_path, str)
    given = read_recorded(backend, backend.run("run-1"), "A")["executor_input"]["inputs"]["parameterValues"]["place"]
    wanted = {"preset": "/here/mnt/data/out/minilm", "other": "/mnt/database", "push": "/there/x"}
    assert json.loads(given) == wanted


def test_so_do_those_of_variables_and_arguments(tmp_path: Path) -> None:
    container = {"env": [{"name": "HF_HOME", "value": "/mnt/data/hub"}], "args": ["{{$}}", "--cache=/mnt/data/hub"]}
    backend = LocalBackend(spec(A={"container": container}), {"/mnt/data": tmp_path / "d"}, tmp_path / "w", str)
    executor_input = read_recorded(backend, backend.run("run-1"), "A")["executor_input"]
    assert executor_input["environment"]["HF_HOME"] == str(tmp_path / "d" / "hub")
    assert executor_input["more"] == [f"--cache={tmp_path / 'd' / 'hub'}"]


def test_a_failed_step_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(TransomError) as caught:
        LocalBackend(spec(A={"code": FAILS}), {}, tmp_path, str).run("run-1")
    assert "the compiled step A failed in run-1" in caught.value.what
    assert caught.value.got == "exit code 3: transom: A: data.path; got: nothing"
    assert "log.txt" in caught.value.fix


def test_a_killed_step_is_tried_again_as_often_as_the_spec_says(tmp_path: Path) -> None:
    message: list[str] = []
    killed = "import os; os.kill(os.getpid(), 9)"
    steps = spec(A={"code": killed, "task": {"retryPolicy": {"maxRetryCount": 1}}})
    with pytest.raises(TransomError, match="exit code -9: the log is empty"):
        LocalBackend(steps, {}, tmp_path, message.append).run("run-1")
    assert len(message) == 2


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
