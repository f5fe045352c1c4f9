"""What was compiled is kept between processes, and a damaged entry is never used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models import compile_cache
from models.compile_cache import CompileCache

Cache = Callable[[str], CompileCache]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def cache(shared: Path, tmp_path: Path) -> Cache:
    """The cache of a process by its name."""

    def make(process: str) -> CompileCache:
        (tmp_path / process).mkdir(exist_ok=True)
        return CompileCache(shared, tmp_path / process)

    return make


def test_what_one_process_keeps_another_finds(cache: Cache, tmp_path: Path) -> None:
    cache("a").keep_graph("k", {"x": b"1", "y": b"2"})
    assert cache("b").graph("k") == {"x": b"1", "y": b"2"}
    assert cache("b").graph("other") is None
    with cache("a").compiling("f"):
        (tmp_path / "a" / "code").write_bytes(b"machine code")
    for _ in range(2):
        with cache("b").compiling("f"):
            assert [path.read_bytes() for path in (tmp_path / "b").iterdir()] == [b"machine code"]


def test_functions_that_share_machine_code_find_it_whichever_runs_first(cache: Cache, tmp_path: Path) -> None:
    needed = {"f": {"f.code", "shared"}, "g": {"g.code", "shared"}}

    def compiled(process: str, function: str) -> set[str]:
        """As XLA does: what is not in the folder of the process is written."""
        with cache(process).compiling(function):
            missing = {file for file in needed[function] if not (tmp_path / process / file).exists()}
            for file in missing:
                (tmp_path / process / file).write_bytes(b"machine code")
        return missing

    assert [compiled("first", function) for function in "fg"] == [{"f.code", "shared"}, {"g.code"}]
    assert [compiled("second", function) for function in "gf"] == [{"shared"}, set()]
    for other in ("fg", "gf"):
        assert [compiled(f"third {other}", function) for function in other] == [set(), set()]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:40], lambda content: content.replace(b"machine", b"machina"), lambda content: b"", bytes],
)
def test_a_damaged_entry_is_removed(
    damage: Callable[[bytes], bytes], cache: Cache, shared: Path, tmp_path: Path
) -> None:
    with cache("a").compiling("f"):
        (tmp_path / "a" / "code").write_bytes(b"machine code " * 10)
    (entry,) = shared.iterdir()
    content = entry.read_bytes()
    entry.write_bytes(damage(content))
    intact = damage(content) == content
    with cache("b").compiling("f"):
        assert len(list((tmp_path / "b").iterdir())) == intact
    assert entry.exists() == intact


def test_an_entry_writes_nowhere_else(cache: Cache, tmp_path: Path) -> None:
    cache("a")._write(cache("a")._shared / "compiled-f.zip", {"../escaped": b"x", "/escaped": b"x", "code": b"y"})
    with cache("b").compiling("f"):
        assert [path.name for path in (tmp_path / "b").iterdir()] == ["code"]
    assert not list(tmp_path.rglob("escaped"))


def test_what_was_used_least_recently_goes_but_nothing_of_others(
    cache: Cache, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shared.parent / "fedcba9876543210"
    (other / "jax").mkdir(parents=True)
    (shared.parent / "photos").mkdir()
    foreign = [shared.parent / "mine.zip", shared.parent / "photos/graph-z.zip", other / "notes.txt"]
    ours = [shared / "graph-used.zip", other / "compiled-o.zip", other / "jax/old"]
    for place in [*ours, *foreign]:
        place.write_bytes(b"x" * 300)
        os.utime(place, (10**9, 10**9))
    cache("a").keep_graph("used", {"x": b"x" * 100})
    os.utime(ours[0], (10**9 - 1, 10**9 - 1))
    cache("b").graph("used")
    monkeypatch.setattr(compile_cache, "_LARGEST", 800)
    cache("a").keep_graph("new", {"x": b"x" * 400})
    assert [path.exists() for path in ours] == [True, False, False]
    assert all(path.exists() for path in foreign)
    assert (shared / "graph-new.zip").exists()


def test_a_full_disk_leaves_the_entries_as_they_are(
    cache: Cache, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache("a").keep_graph("k", {"x": b"1"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    cache("a").keep_graph("k", {"x": b"2"})
    cache("a").keep_graph("l", {"x": b"3"})
    assert [path.name for path in shared.iterdir()] == ["graph-k.zip"]
    assert cache("a").graph("k") == {"x": b"1"}


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
    code = """
import os, tempfile
from pathlib import Path
from models import compile_cache
print(compile_cache.use("auto", lambda: Path(tempfile.mkdtemp())), os.environ.get("TF_XLA_FLAGS"))
"""
    environment = {**os.environ, "TRANSOM_COMPILE_CACHE": str(tmp_path / "cache"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"False {variables.get('TF_XLA_FLAGS')}"


def test_other_cores_or_settings_are_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(compile_cache.VARIABLE, str(tmp_path))
    before = compile_cache._folder("auto")
    assert compile_cache._folder("auto") == before
    assert compile_cache._folder("off") != before
    monkeypatch.setattr(compile_cache, "usable_cores", lambda: 1000)
    assert compile_cache._folder("auto") != before
