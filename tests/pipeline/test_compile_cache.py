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
assert compile_cache.use("auto") and compile_cache.use("auto")
import tensorflow as tf
print(float(tf.function(lambda x: tf.reduce_sum(tf.sin(x) * 2.0), jit_compile=True)(tf.ones([4, 4]))))
"""
NAME = "xla_compile_cache__{}"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A shared folder, with the root above it, and a private one."""
    shared, private = tmp_path / "root" / "0123456789abcdef", tmp_path / "private"
    shared.mkdir(parents=True)
    private.mkdir()
    return shared, private


def _write(folder: Path, *letters: str) -> None:
    for letter in letters:
        (folder / f"{NAME.format(letter)}.pb").write_bytes(letter.encode() * 100)


def _letters(folder: Path) -> list[str]:
    return sorted(path.name.split("__")[1][0] for path in folder.rglob("xla*.pb"))


def test_what_was_stored_is_loaded_unless_it_is_damaged(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shared, private = folders
    _write(private, "a", "b", "c")
    cache = CompileCache(shared, private)
    cache.store()
    cache.store()
    assert _letters(shared) == ["a", "b", "c"]
    damaged, cut, _ = sorted(shared.iterdir())
    damaged.write_bytes(b"x" * 100)
    cut.write_bytes(cut.read_bytes()[:50])
    (shared / "strange.pb").touch()
    later = tmp_path / "later"
    later.mkdir()
    CompileCache(shared, later).load()
    assert [path.read_bytes() for path in later.iterdir()] == [b"c" * 100]
    assert _letters(shared) == ["c"]
    assert (shared / "strange.pb").exists(), "it is not one of ours"


def test_the_oldest_go_when_there_are_too_many_bytes_but_nobody_elses(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, private = folders
    monkeypatch.setattr(compile_cache, "_LARGEST", 250)
    other = shared.parent / "fedcba9876543210"
    (other / "jax").mkdir(parents=True)
    (shared.parent / "photos").mkdir()
    foreign = [shared.parent / "mine.pb", shared.parent / "photos" / "xla_compile_cache__z.pb", other / "notes.txt"]
    ours = [
        shared / f"{NAME.format('n')}.{'0' * 16}.pb",
        other / f"{NAME.format('o')}.{'0' * 16}.pb",
        other / "jax/old",
    ]
    for age, place in enumerate([*ours, *foreign]):
        place.write_bytes(b"x" * 100)
        os.utime(place, (10**9 - age, 10**9 - age))
    _write(private, "a")
    CompileCache(shared, private).store()
    assert [path.exists() for path in ours] == [True, False, False]
    assert all(path.exists() for path in foreign)
    assert _letters(shared) == ["a", "n"]


def test_a_full_disk_leaves_no_half_entry(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared, private = folders
    _write(private, "a")
    CompileCache(shared, private).store()
    later = tmp_path / "later"
    later.mkdir()

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    cache = CompileCache(shared, later)
    cache.load()
    assert list(later.iterdir()) == []
    _write(later, "b")
    before = sorted(shared.iterdir())
    cache.store()
    assert sorted(shared.iterdir()) == before


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
    code = "from pipeline import compile_cache as c; import os; print(c.use('auto'), os.environ.get('TF_XLA_FLAGS'))"
    environment = {**os.environ, "TRANSOM_COMPILE_CACHE": str(tmp_path / "cache"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"False {variables.get('TF_XLA_FLAGS')}"


def test_other_cores_are_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(compile_cache.VARIABLE, str(tmp_path))
    before = compile_cache._folder("auto")
    assert compile_cache._folder("off") != before
    monkeypatch.setattr(compile_cache, "cpu_facts", lambda: {"cores": 1000})
    assert compile_cache._folder("auto") != before


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
