"""A child does not outlive its parent, however the parent ends; and every child that Transom starts is such a child."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.child_processes import tied_to_parent

PARENT = """
import subprocess, sys
from models.child_processes import tied_to_parent
child = subprocess.Popen(tied_to_parent([sys.executable, "-c", "import time; time.sleep(60)"]))
print(child.pid, flush=True)
child.wait()
"""
# It ends with its standard input, when no writer is left, and must outlive the last output.
READS_TO_THE_END = "serving/tensorflow_noise.py"
RUN_BY_HAND = "serving/wire/protos/update.py"
# It asks git two questions, with a time limit.
ASKS_GIT = "components/lineage/origin.py"
PACKAGES = ("models", "tflite", "serving", "components", "pipeline")


def alive(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_ends_with_its_parent(repository: Path, how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=repository, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 20
    while b"-c" not in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2]:
        assert time.monotonic() < deadline  # it is still the interpreter that ties it to its parent
        time.sleep(0.01)
    assert alive(child)
    parent.send_signal(how)
    parent.wait(20)
    parent.stdout.close()
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_whose_parent_went_before_it_could_ask_does_not_run(tmp_path: Path) -> None:
    command = tied_to_parent([sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"])
    assert command[5] == str(os.getpid())
    command[5] = str(os.getpid() + 1)
    subprocess.run(command, check=False, timeout=20)
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_what_it_was(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['A'], os.getcwd(), sys.prefix); sys.exit(3)"
    command = [sys.executable, "-c", code, "a b", "", "-x"]
    done = subprocess.run(
        tied_to_parent(command), cwd=tmp_path, env={"A": "1"}, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout.strip()) == (3, f"['a b', '', '-x'] 1 {tmp_path} {sys.prefix}")


def test_every_child_of_the_packages_is_tied(repository: Path) -> None:
    loose = []
    for path in [path for package in PACKAGES for path in sorted((repository / package).rglob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func): node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call)}
        starts = [name for name in calls if name.startswith(("subprocess.", "os.spawn", "os.posix_spawn", "os.system"))]
        if starts and "tied_to_parent" not in calls:
            loose.append(str(path.relative_to(repository)))
    assert set(loose) == {READS_TO_THE_END, RUN_BY_HAND, ASKS_GIT}
