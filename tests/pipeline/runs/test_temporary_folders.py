"""Temporary folders are removed at the end and after a kill, and no other folder is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runs.temporary_folders import OWNER, keep, remove_leftovers, scratch_folder, temporary_folder

OWNS = """
import sys, tempfile, time
from pipeline.runs.temporary_folders import temporary_folder
with temporary_folder() as folder:
    open(tempfile.mkdtemp() + "/beam", "w").close()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(temporary: Path, repository: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that owns a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNS],
        cwd=repository,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_all_temporary_files_go_at_the_end(temporary: Path) -> None:
    with temporary_folder() as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_owner_leaves_goes_with_the_next_run(
    owner: tuple[subprocess.Popen[str], Path], temporary: Path, how: signal.Signals
) -> None:
    process, folder = owner
    process.send_signal(how)
    process.wait()
    assert folder.is_dir()
    with scratch_folder() as mine:
        assert list(temporary.iterdir()) == [mine]


def test_a_living_owner_keeps_its_folder(owner: tuple[subprocess.Popen[str], Path]) -> None:
    _, folder = owner
    remove_leftovers()
    assert list(folder.rglob("beam"))


def test_what_is_not_ours_stays(temporary: Path) -> None:
    (temporary / "transom-notes").mkdir()
    (temporary / "transom-notes" / OWNER).touch()  # another name
    (temporary / "transom-12345678").mkdir()  # without a lock: of an older version, or the user's own
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / OWNER).touch()
    (temporary / "transom-aaaaaaaa").symlink_to(elsewhere)  # a link to a folder
    (temporary / "transom-bbbbbbbb").mkdir()
    (temporary / "transom-bbbbbbbb" / OWNER).symlink_to(elsewhere / OWNER)  # a link to a lock
    (temporary / "transom-cccccccc").touch()  # a file
    before = sorted(temporary.rglob("*"))
    remove_leftovers()
    assert sorted(temporary.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_stays(temporary: Path) -> None:
    folder = temporary / "transom-12345678"
    folder.mkdir()
    (folder / OWNER).touch()
    for path in (folder / OWNER, folder):
        os.chown(path, 12345, 12345)
    remove_leftovers()
    assert folder.is_dir()
    for path in (folder / OWNER, folder):
        os.chown(path, 0, 0)
    remove_leftovers()
    assert not folder.exists()


def test_a_folder_that_was_given_to_the_user_stays(temporary: Path) -> None:
    with scratch_folder() as folder:
        (folder / "log.txt").touch()
        keep(folder)
    remove_leftovers()
    assert (folder / "log.txt").exists()


def test_runs_that_start_at_once_remove_each_leftover_and_nothing_else(temporary: Path) -> None:
    for number in range(20):
        with scratch_folder() as folder:
            shutil.copytree(folder, temporary / f"transom-{number:08d}")
    wrong: list[str] = []

    def run() -> None:
        for _ in range(20):
            with scratch_folder() as folder:
                (folder / "mine").touch()
                remove_leftovers()
                if not (folder / "mine").exists():
                    wrong.append(str(folder))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert list(temporary.iterdir()) == []
