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

from components.lineage.table_facts import TABLES_FILE
from pipeline.steps import STEPS
from tests.e2e.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux only")]

# One process, which loads TensorFlow and TFX once. In each run one step suffers, the first that has not yet. It is
# killed when it has written all, and told nothing.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from models.errors import TransomError
from pipeline.runs import pipeline_run
from pipeline.runs.local import local_runner
from pipeline.runs.local.step_processes import StepProcess

config, output, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
filler, start = output / "filler", StepProcess.start
suffered, now = [], []

def fill():
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                pass

def begin(step, function, *others):
    def killed():
        function()
        os.kill(os.getpid(), signal.SIGKILL)
    if now or step in suffered:
        return start(step, function, *others)
    now.append(step)
    if fault == "full":
        fill()
    return start(step, killed if fault == "killed" else function, *others)

StepProcess.start = begin
local_runner.usable_cores = lambda: 1  # one step after another: none ends well beside one that suffers
while True:
    now.clear()
    outcome = ""
    try:
        pipeline_run.run(config, [], as_json=True)
    except TransomError as error:
        outcome = error.render()
    filler.unlink(missing_ok=True)
    print(json.dumps({"event": "end of a run", "suffered": now[:], "outcome": outcome}), flush=True)
    suffered += now
    if not now:
        break
"""


def run_with(fault: str, project: Project, prefix: list[str]) -> list[dict[str, Any]]:
    """Runs the pipeline until no step is left in which the fault has not occurred; the ends of the runs."""
    project.output.mkdir(exist_ok=True)
    command = [*prefix, sys.executable, "-c", PROGRAM, str(project.config), str(project.output), fault]
    environment = {**os.environ, "PYTHONPATH": str(project.repository)}
    done = subprocess.run(command, env=environment, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ends = [event for event in events if event["event"] == "end of a run"]
    # The last run goes on where the last fault was, to the end.
    assert ends.pop() == {"event": "end of a run", "suffered": [], "outcome": ""}
    assert {step for end in ends for step in end["suffered"]} == {*STEPS}
    return ends


def contents(output: Path, step: str) -> list[bytes]:
    """The files of a step's outputs, sorted by their paths; not that which names the project's folder."""
    found = (path for path in output.joinpath("artifacts").rglob("*") if step in path.parts and path.is_file())
    found = (path for path in found if path.name != TABLES_FILE)
    return [path.read_bytes() for path in sorted(found, key=lambda path: (path.parts[-2:], path))]


def test_a_process_that_is_killed_in_any_step(tiny: tuple[Project, dict[str, Any]], project: Project) -> None:
    source, _ = tiny
    source.copy_to(project.folder)
    for end in run_with("killed", project, []):
        assert end["outcome"].startswith(f"{end['suffered'][0]}: its process was killed\n"), end
    for step in ("ExampleGen", "Transform"):
        assert contents(project.output, step) == contents(source.output, step)


def test_a_disk_that_is_full_in_any_step(tiny: tuple[Project, dict[str, Any]], project: Project) -> None:
    project.output.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=64m tmpfs "{project.output}" && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], check=False).returncode:
        pytest.skip("this process may mount no file system of its own, not even in a namespace of its own")
    source, _ = tiny
    source.copy_to(project.folder)
    for end in run_with("full", project, mounted):
        assert "no space left on the device" in end["outcome"], end
