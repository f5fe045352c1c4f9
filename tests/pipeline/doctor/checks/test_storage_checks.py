from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_projects import make_project, snapshot, statuses, unprivileged

from pipeline.doctor.checks import storage_checks
from pipeline.doctor.checks.storage_checks import cache, checks, disk, file_systems, locks, temporary
from pipeline.doctor.disk_need import DiskNeed
from pipeline.doctor.finding import findings_of


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that every user can reach and only its owner can read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder, "closed")
        closed.mkdir(mode=0o700)
        if os.geteuid() != 0:
            closed.chmod(0)
        yield closed
        closed.chmod(0o700)


def test_all_is_well_here_and_nothing_changes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    before = snapshot(tmp_path)
    found = [finding for check in checks(project) for finding in findings_of(check)]
    assert {"temporary files", "disk", "file systems", "locks"} <= {finding.check for finding in found}
    assert not any("could not be checked" in finding.text for finding in found)
    assert snapshot(tmp_path) == before


def test_a_folder_for_temporary_files_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    first, second = temporary()
    assert (first.status, second.status) == ("warn", "ok")
    assert "missing is not there" in first.text
    (tmp_path / "missing").touch()
    assert "is not a folder that this user can write" in next(temporary()).text


def test_no_folder_for_temporary_files(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(storage_checks, "_TEMPORARY_FOLDERS", (str(closed),))
    monkeypatch.setattr(storage_checks.os, "access", lambda *_: False)  # which asks for the real user: root
    (found,) = temporary()
    assert found.status == "error"


@pytest.mark.parametrize(("measured", "status"), [(True, "error"), (False, "warn")])
def test_too_little_room(measured: bool, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    monkeypatch.setattr(storage_checks, "disk_need", lambda _: DiskNeed(10**18, "a test", measured))
    found = list(disk(project))
    assert ("disk", status) in statuses(found)
    assert "a run needs 1,000,000,000.0 GB (a test)" in found[0].text


def test_a_disk_without_room_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = os.statvfs(tmp_path)
    for position, expected in ((4, "MB free"), (7, "no more files")):  # f_bavail, f_favail
        full = os.statvfs_result([0 if n == position else max(1, value) for n, value in enumerate(real[:10])])
        monkeypatch.setattr(storage_checks.os, "statvfs", lambda _, full=full: full)
        found = next(disk(None))
        assert found.status in ("warn", "error")
        assert expected in found.text


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("ext4", "ok", "ext4: output, push.directory"),
        ("nfs4", "warn", "SQLite"),
        ("fuse.gcsfuse", "warn", "cannot be renamed"),
    ],
)
def test_file_systems_of_other_machines(kind: str, status: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    project = make_project(folder)
    point = str(folder).replace(" ", "\\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - xfs /dev/sda rw\n2 1 0:9 / {point} rw shared:1 - {kind} h:/x rw\nbad\n\n")
    found = list(file_systems(project, mounts))
    assert found[0].status == status
    assert text in found[0].text
    assert "temporary files" in found[-1].text


def test_file_systems_that_cannot_be_told(tmp_path: Path) -> None:
    (found,) = file_systems(None, tmp_path / "missing")
    assert found.status == "note"


def test_a_file_system_that_cannot_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    project = make_project(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    found = list(locks(project))
    assert {finding.status for finding in found} == {"error"}
    assert "No locks available" in found[0].text


def test_a_folder_that_another_process_has_locked_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert statuses(list(locks(None))) == [("locks", "ok")]
    finally:
        os.close(descriptor)


def test_an_unreadable_folder_is_left_to_the_check_of_permissions(closed: Path) -> None:
    with unprivileged():
        assert storage_checks._lock_failure(closed) == ""


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    (found,) = cache()
    assert found.status == "warn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert next(cache()).status == "ok"
    assert not (tmp_path / "new").exists()
