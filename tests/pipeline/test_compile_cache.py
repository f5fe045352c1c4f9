"""XLA's programs are kept between processes, and a damaged entry is never used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import compile_cache
from pipeline.compile_cache import CompileCache

PROGRAM = """
from models.runtime import prepare
from pipeline import compile_cache
prepare()
cache = compile_cache.use()
assert cache is compile_cache.use()
import tensorflow as tf
print(float(tf.function(lambda x: tf.reduce_sum(tf.sin(x) * 2.0), jit_compile=True)(tf.ones([4, 4]))))
cache.store()
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A shared folder, with the root above it, and a private one."""
    shared, private = tmp_path / "root" / "key", tmp_path / "private"
    shared.mkdir(parents=True)
    private.mkdir()
    return shared, private


def test_what_was_stored_is_loaded_unless_it_is_damaged(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shared, private = folders
    for name in ("a", "b", "c"):
        (private / f"{name}.pb").write_bytes(name.encode() * 100)
    cache = CompileCache(shared, private)
    cache.store()
    cache.store()
    assert [path.name.split(".")[0] for path in sorted(shared.iterdir())] == ["a", "b", "c"]
    damaged, cut, _ = sorted(shared.iterdir())
    damaged.write_bytes(b"x" * 100)
    cut.write_bytes(cut.read_bytes()[:50])
    (shared / "strange.pb").touch()
    later = tmp_path / "later"
    later.mkdir()
    CompileCache(shared, later).load()
    assert [path.read_bytes() for path in later.iterdir()] == [b"c" * 100]
    assert [path.name.split(".")[0] for path in shared.iterdir()] == ["c"]


def test_the_oldest_go_when_there_are_too_many_bytes(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, private = folders
    monkeypatch.setattr(compile_cache, "_LARGEST", 250)
    (shared.parent / "other").mkdir()
    for age, place in enumerate((shared / "new.pb", shared.parent / "other" / "old.pb")):
        place.write_bytes(b"x" * 100)
        os.utime(place, (10**9 - age, 10**9 - age))
    (private / "added.pb").write_bytes(b"y" * 100)
    CompileCache(shared, private).store()
    assert sorted(path.name.split(".")[0] for path in shared.parent.rglob("*.pb")) == ["added", "new"]


def test_a_full_disk_is_no_error(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shared, private = folders
    (private / "a.pb").touch()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    CompileCache(shared, private).store()
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"TRANSOM_COMPILE_CACHE": "off"},
        {"TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=/mine"},
        {"TRANSOM_COMPILE_CACHE": "/proc/none"},
        {"TMPDIR": "a b"},
    ],
)
def test_it_is_left_alone_where_it_cannot_or_shall_not_be_used(
    variables: dict[str, str], tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "a b").mkdir()
    if "TMPDIR" in variables:
        variables = {"TMPDIR": str(tmp_path / "a b")}
    code = "from pipeline import compile_cache; import os; print(compile_cache.use(), os.environ.get('TF_XLA_FLAGS'))"
    environment = {**os.environ, "TRANSOM_COMPILE_CACHE": str(tmp_path / "cache"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"None {variables.get('TF_XLA_FLAGS')}"


def test_a_second_process_compiles_nothing_and_survives_a_damaged_entry(tmp_path: Path, repository: Path) -> None:
    environment = {**os.environ, "TRANSOM_COMPILE_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}

    def value() -> str:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, cwd=repository, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout

    first = value()
    (entry,) = tmp_path.glob("cache/*/*.pb")
    written = entry.stat().st_mtime_ns
    assert value() == first
    assert [path.stat().st_mtime_ns for path in tmp_path.glob("cache/*/*.pb")] == [written]
    entry.write_bytes(b"damaged")
    assert value() == first
    (again,) = tmp_path.glob("cache/*/*.pb")
    assert again.stat().st_size > 100
    assert [path.name for path in tmp_path.iterdir()] == ["cache"], "a temporary folder is left"
