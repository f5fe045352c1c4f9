"""Runs a compiled pipeline on this machine as the open-source backend's driver and launcher run it on a cluster.

Each step is a separate process, with the command and arguments from the YAML, placeholders filled in, an empty
working directory, and only the variables of the spec. Artifacts go through a folder that represents the bucket: inputs
are copied out of it, outputs into it, but no empty folders, which buckets do not have. As in the backend's metadata,
types are lost and numbers become floats. Mounted paths are replaced by folders of this machine.

Sources: kubeflow/pipelines backend/src/v2/driver, component/launcher_v2.go, metadata/converter.go.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.child_processes import tied_to_parent
from models.errors import ConfigError, TransomError
from pipeline.kubeflow.entrypoint import local_path
from pipeline.kubeflow.pipeline_yaml import Compiled
from tflite.host.json_text import to_json

DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"
_TAIL_BYTES = 100_000
Print = Callable[[str], None]
Artifacts = dict[str, dict[str, dict[str, Any]]]


class LocalBackend:
    """Takes the role of the cluster. The outputs of its runs are below `work`, a new folder."""

    def __init__(self, compiled: Compiled, mounts: dict[str, Path], work: Path, print_line: Print) -> None:
        """`mounts` maps the containers' folders to folders on this machine."""
        self._spec, self._work, self._print = compiled.spec, work, print_line
        kubernetes = compiled.platform.get("platforms", {}).get("kubernetes", {})
        self._platform = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self._mounts = sorted(mounts.items(), key=lambda item: -len(item[0]))

    def run(self, name: str) -> Artifacts:
        """Runs every task once; returns the outputs (`uri`, `metadata`) by task and name.

        Raises:
            TransomError: a task failed; it quotes the last line of the log.
        """
        done: Artifacts = {}
        for task in self._order():
            begin = time.monotonic()
            done[task] = self._task(name, task, done)
            self._print(f"{name}: {task:<18} {time.monotonic() - begin:6.1f} s")
        return done

    def folder(self, artifact: dict[str, Any]) -> Path:
        return local_path(artifact["uri"], self._work / "buckets")

    def _order(self) -> Iterator[str]:
        tasks = self._spec["root"]["dag"]["tasks"]
        done: set[str] = set()
        while len(done) < len(tasks):
            ready = [
                name
                for name, task in tasks.items()
                if name not in done and done.issuperset(task.get("dependentTasks", []))
            ]
            if not ready:
                raise ConfigError(
                    "the compiled pipeline",
                    got=f"no order for {', '.join(sorted(set(tasks) - done))}",
                    expected="a DAG",
                )
            yield ready[0]
            done.add(ready[0])

    def _task(self, run: str, name: str, done: Artifacts) -> dict[str, dict[str, Any]]:
        task = self._spec["root"]["dag"]["tasks"][name]
        component = self._spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        container = self._spec["deploymentSpec"]["executors"][label].get("container")
        if container is None or "lifecycle" in container:
            got = "a driver of its own (lifecycle)" if container else "no container"
            raise ConfigError(f"the compiled step {name}", got=got, expected="a plain container")
        root = f"{self._spec.get('defaultPipelineRoot', DEFAULT_ROOT)}/{self._spec['pipelineInfo']['name']}/{run}"
        error: str | None = ""
        for attempt in range(1 + task.get("retryPolicy", {}).get("maxRetryCount", 0)):
            folder = self._work / run / (f"{name}-{attempt}" if attempt else name)
            for part in ("cwd", "tmp"):
                (folder / part).mkdir(parents=True)
            executor_input = self._executor_input(task, component, done, f"{root}/{name}", folder)
            timeout = self._platform.get(label, {}).get("activeDeadlineSeconds")
            error = self._launch(container, executor_input, folder, float(timeout) if timeout else None)
            if error is None:
                published = self._publish(executor_input, folder)
                for part in ("storage", "tmp"):
                    shutil.rmtree(folder / part, ignore_errors=True)
                return published
            self._print(f"{run}: {name} failed: {error}")
        raise TransomError(
            f"the compiled step {name} failed in {run}", got=error or "", fix=f"read {folder / 'log.txt'}"
        )

    def _executor_input(
        self, task: dict[str, Any], component: dict[str, Any], done: Artifacts, root: str, folder: Path
    ) -> dict[str, Any]:
        """The driver's part: the content of ExecutorInput."""
        inputs, defined = task.get("inputs", {}), component.get("inputDefinitions", {})
        parameters = {
            name: one["defaultValue"] for name, one in defined.get("parameters", {}).items() if "defaultValue" in one
        }
        globals_ = self._spec["root"].get("inputDefinitions", {}).get("parameters", {})
        for name, source in inputs.get("parameters", {}).items():
            if "componentInputParameter" in source:
                parameters[name] = globals_[source["componentInputParameter"]]["defaultValue"]
            else:
                parameters[name] = source["runtimeValue"]["constant"]
        artifacts = {}
        for name, source in inputs.get("artifacts", {}).items():
            origin = source["taskOutputArtifact"]
            artifacts[name] = {"artifacts": [done[origin["producerTask"]][origin["outputArtifactKey"]]]}
        outputs = {
            name: {"artifacts": [{"uri": f"{root}/{name}", "type": one["artifactType"], "metadata": {}}]}
            for name, one in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        return {
            "inputs": {
                "parameterValues": {name: self._mounted(value) for name, value in parameters.items()},
                "artifacts": copy.deepcopy(artifacts),
            },
            # on a cluster, /tmp/kfp_outputs/output_metadata.json on the container's own disk
            "outputs": {"artifacts": outputs, "outputFile": str(folder / "kfp_outputs" / "output_metadata.json")},
        }

    def _mounted(self, value: Any) -> Any:
        """A parameter, argument or variable with the containers' folders replaced, also in JSON inside texts."""
        if isinstance(value, str):
            folders = dict(self._mounts)
            if folders:  # all at once, so that replacements are not replaced again
                pattern = rf"(?<![\w./-])({'|'.join(map(re.escape, folders))})(?![\w.-])"
                value = re.sub(pattern, lambda match: str(folders[match.group(1)]), value)
        return value

    def _launch(
        self, container: dict[str, Any], executor_input: dict[str, Any], folder: Path, timeout: float | None
    ) -> str | None:
        """The launcher's part: copies inputs and runs the command; returns None, or the error's last line."""
        storage = folder / "storage"
        for listed in executor_input["inputs"]["artifacts"].values():
            for artifact in listed["artifacts"]:
                _copy_files(self.folder(artifact), local_path(artifact["uri"], storage))
        for listed in executor_input["outputs"]["artifacts"].values():
            local_path(listed["artifacts"][0]["uri"], storage).parent.mkdir(parents=True, exist_ok=True)
        Path(executor_input["outputs"]["outputFile"]).parent.mkdir(parents=True)
        placeholders = _placeholders(executor_input)
        parts = [*container["command"], *container.get("args", [])]
        command = [_filled(self._mounted(part), placeholders) for part in parts]
        if command[0] == "python":
            command[0] = sys.executable
        own = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder / "cwd"), "LANG": "C.UTF-8"}
        own["TMPDIR"] = str(folder / "tmp")  # a container has its own /tmp
        variables = {one["name"]: self._mounted(one["value"]) for one in container.get("env", [])}
        log = folder / "log.txt"
        with log.open("wb") as stream:
            try:
                code = subprocess.run(
                    tied_to_parent([*command, "--storage", str(storage)]),
                    cwd=folder / "cwd",
                    env={**own, **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return f"ended after its timeout of {timeout:g} s"
        return None if code == 0 else f"exit code {code}: {_last_line(log)}"

    def _publish(self, executor_input: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
        """Records outputs in the form of the backend's metadata, and copies their files to the bucket."""
        file = Path(executor_input["outputs"]["outputFile"])
        reported = json.loads(file.read_text(encoding="utf-8")).get("artifacts", {}) if file.exists() else {}
        published = {}
        for name, listed in executor_input["outputs"]["artifacts"].items():
            own = reported.get(name, {}).get("artifacts", [{}])[0]
            uri = own.get("uri") or listed["artifacts"][0]["uri"]
            metadata = {key: _stored(value) for key, value in own.get("metadata", {}).items()}
            published[name] = {"name": str(abs(hash(uri))), "uri": uri, "metadata": metadata}
            _copy_files(local_path(uri, folder / "storage"), self.folder(published[name]))
        return published


def _placeholders(executor_input: dict[str, Any]) -> dict[str, str]:
    filled = {"{{$}}": to_json(executor_input, ascii=True)}
    for name, value in executor_input["inputs"]["parameterValues"].items():
        filled[f"{{{{$.inputs.parameters['{name}']}}}}"] = (
            value if isinstance(value, str) else to_json(value, ascii=True)
        )
    for side in ("inputs", "outputs"):
        for name, listed in executor_input[side]["artifacts"].items():
            filled[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = listed["artifacts"][0]["uri"]
    return filled


def _filled(part: str, placeholders: dict[str, str]) -> str:
    for placeholder, value in placeholders.items():
        part = part.replace(placeholder, value)
    return part


def _stored(value: Any) -> Any:
    """A property of an artifact in the form that the backend's metadata return."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value


def _copy_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy_path = target / path.relative_to(source)
            copy_path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy_path)


def _last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", errors="replace").split("\n")
    messages = [line for line in lines if line.startswith("transom: ")] or [line for line in lines if line.strip()]
    return messages[-1].strip() if messages else "the log is empty"
