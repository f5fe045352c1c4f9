from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import BusyError, ConfigError
from pipeline.runs.run_lock import hold_lock, is_held

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.runs.run_lock import hold_lock
with hold_lock(Path(sys.argv[1]), lambda: "first"):
    print("held", flush=True)
    time.sleep(60)
"""
WAITER = """
import sys
from pathlib import Path
from pipeline.runs.run_lock import hold_lock
with hold_lock(Path(sys.argv[1]), lambda: "second", wait=True):
    print("got it")
"""


@pytest.fixture
def holder(tmp_path: Path, repository: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_told_who_holds_the_project(holder, tmp_path: Path) -> None:
    assert is_held(tmp_path / "lock")
    with (
        pytest.raises(BusyError, match=rf"run first \(process {holder.pid}"),
        hold_lock(tmp_path / "lock", lambda: "second"),
    ):
        pass


def test_a_killed_holder_leaves_no_lock(holder, tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    assert not is_held(tmp_path / "lock")
    with hold_lock(tmp_path / "lock", lambda: "second"):
        assert is_held(tmp_path / "lock")


def test_waiting_ends_with_the_holder(holder, tmp_path: Path, repository: Path) -> None:
    second = subprocess.Popen(
        [sys.executable, "-c", WAITER, str(tmp_path / "lock")], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1)
    holder.kill()
    assert second.communicate(timeout=30)[0] == "got it\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="output folder"),
        hold_lock(tmp_path / "file" / "out" / "lock", lambda: "run"),
    ):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_of_the_users_own_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("my notes")
    with pytest.raises(ConfigError, match="did not write"), hold_lock(tmp_path / "lock", lambda: "run"):
        pass
    assert (tmp_path / "lock").read_text() == "my notes"
