"""A folder appears complete or not at all, and replaces no other; a file replaces its former self at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.child_processes import tied_to_parent
from models.errors import ModelError
from models.whole_writes import atomic_directory, write_whole


def export(target: Path) -> None:
    with atomic_directory(target) as folder:
        (folder / "file").write_text("new")


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file", "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / "full")
        with pytest.raises(ModelError, match="it exists already"):
            export(tmp_path / name)
    assert (tmp_path / "full" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nothing"):
        link = tmp_path / f"to-{name}"
        link.symlink_to(name)
        export(link)
        assert link.is_symlink()
        assert (tmp_path / name / "file").read_text() == "new"


def come_meanwhile(target: Path) -> None:
    with atomic_directory(target):
        target.mkdir()
        (target / "mine").write_text("mine")


def test_what_comes_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="meanwhile"):
        come_meanwhile(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


EXPORTS = """
import sys, time
from pathlib import Path
from models.whole_writes import atomic_directory, write_whole
with atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    print(flush=True)
    time.sleep(60)
"""


def test_what_a_killed_export_leaves_goes_with_the_next_one(tmp_path: Path, repository: Path) -> None:
    (tmp_path / ".out.mine").mkdir()
    command = tied_to_parent([sys.executable, "-c", EXPORTS, str(tmp_path / "out")])
    process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        export(tmp_path / "other")
        come_meanwhile_of(tmp_path / "out")
        assert len(list(tmp_path.glob(".out.transom-*"))) == 1  # that of the running process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert len(list(tmp_path.glob(".out.transom-*"))) == 1
    export(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.mine", "other", "out"]


def come_meanwhile_of(target: Path) -> None:
    """An export that fails while another one writes to the same folder."""
    with pytest.raises(ZeroDivisionError), atomic_directory(target):
        raise ZeroDivisionError


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_whole(file, "one")
    write_whole(file, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]

    def full(path: Path, text: str, encoding: str, errors: str) -> None:
        path.write_bytes(text.encode(encoding)[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, "three")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "two")]
