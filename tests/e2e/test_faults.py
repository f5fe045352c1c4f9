"""In each step, its process is killed, and the disk is full: a clear error, and the next run goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.steps import STEPS
from tests.e2e.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux only")]

# One process, which loads TensorFlow and TFX once. A step is killed when it has written all, and told nothing.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from models.errors import TransomError
from pipeline.runs import pipeline_run
from pipeline.runs.local.step_processes import StepProcess

config, output, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
filler, start = output / "filler", StepProcess.start
reached = []

def fill():
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                pass

def wrap(step, function):
    def killed():
        function()
        os.kill(os.getpid(), signal.SIGKILL)
    if step in reached:
        return function
    reached.append(step)
    if fault == "full":
        fill()
    return killed if fault == "killed" else function

StepProcess.start = lambda step, function: start(step, wrap(step, function))
while True:
    before, outcome = len(reached), ""
    try:
        pipeline_run.run(config, [], as_json=True)
    except TransomError as error:
        outcome = error.render()
    filler.unlink(missing_ok=True)
    print(json.dumps({"event": "end of a run", "reached": reached[before:], "outcome": outcome}), flush=True)
    if len(reached) == before:
        break
"""


def run_with(fault: str, project: Project, prefix: list[str]) -> list[dict[str, Any]]:
    """Runs the pipeline until no step is left in which the fault has not occurred; the ends of the runs."""
    project.output.mkdir()
    command = [*prefix, sys.executable, "-c", PROGRAM, str(project.config), str(project.output), fault]
    environment = {**os.environ, "PYTHONPATH": str(project.repository)}
    done = subprocess.run(command, env=environment, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] == "end of a run"]


def contents(output: Path, step: str) -> list[bytes]:
    """The files of a step's outputs, sorted by their paths."""
    found = (path for path in output.joinpath("artifacts").rglob("*") if step in path.parts and path.is_file())
    return [path.read_bytes() for path in sorted(found, key=lambda path: (path.parts[-2:], path))]


def test_a_process_that_is_killed_in_any_step(tiny: tuple[Project, dict[str, Any]], project: Project) -> None:
    source, _ = tiny
    source.copy_to(project.folder)
    *failed, last = run_with("killed", project, [])
    assert {step for one in failed for step in one["reached"]} >= {*STEPS} - {"LiveModel"}
    for one in failed:
        assert one["outcome"].partition(": its process was killed")[0] in one["reached"], one
    assert last == {"event": "end of a run", "reached": [], "outcome": ""}
    for step in ("ExampleGen", "Transform"):
        assert contents(project.output, step) == contents(source.output, step)


def test_a_disk_that_is_full_in_any_step(tiny: tuple[Project, dict[str, Any]], project: Project) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this process may mount no file system of its own, not even in a namespace of its own")
    source, _ = tiny
    source.copy_to(project.folder)
    mounted = f'mount -t tmpfs -o size=64m tmpfs "{project.output}" && exec "$@"'
    *failed, last = run_with("full", project, ["unshare", "-rm", "sh", "-c", mounted, "sh"])
    assert {step for one in failed for step in one["reached"]} >= {*STEPS} - {"LiveModel"}
    for one in failed:
        assert "no space left on the device" in one["outcome"], one
    assert last == {"event": "end of a run", "reached": [], "outcome": ""}
