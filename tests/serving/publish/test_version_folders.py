"""Publishing versions under a base path: on a full disk, without permission, killed, and two at once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.child_processes import tied_to_parent
from serving.errors import PublishError
from serving.publish.version_folders import _replace, newest, prune, publish, remove_leftovers, versions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder that looks like a SavedModel of 300 kB."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(os.urandom(300_000))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "reviews"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hidden(base: Path) -> list[str]:
    return [path.name for path in base.iterdir() if path.name.startswith(".")]


def test_a_published_version_is_a_copy_and_the_newest(source: Path, base: Path) -> None:
    assert versions(base) == []
    assert newest(base) is None
    before = int(time.time())
    first = publish(source, base)
    assert before <= first <= time.time()
    second = publish(source, base)
    assert second > first
    assert versions(base) == [first, second]
    assert newest(base) == second
    assert content(base / str(second)) == content(source)
    assert (base / str(second) / "assets.extra").is_dir()
    assert hidden(base) == []


def test_extra_files_are_part_of_the_version(source: Path, base: Path) -> None:
    version = publish(source, base, {"assets.extra/data.json": b"{}", "saved_model.pb": b"other", "new/x": b"1"})
    added = {"assets.extra/data.json": b"{}", "saved_model.pb": b"other", "new/x": b"1"}
    assert content(base / str(version)) == {**content(source), **added}


def test_only_numbered_folders_are_versions(source: Path, base: Path) -> None:
    far = int(time.time()) + 10_000
    for name in (str(far), "7", "007", "-3", "９", "1e3", ".5", "latest"):
        (base / name).mkdir(parents=True)
    (base / "8").write_text("a file")
    assert versions(base) == [7, far]
    assert publish(source, base) == far + 1


def test_a_source_without_a_model_is_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(PublishError, match=r"no saved_model\.pb"):
        publish(tmp_path, base)
    assert not base.exists()


def test_prune_keeps_the_newest(source: Path, base: Path) -> None:
    made = [publish(source, base) for _ in range(4)]
    assert prune(base, 3) == made[:1]
    assert versions(base) == made[1:]
    assert prune(base, 3) == []
    assert prune(base, 0) == made[1:3]
    assert versions(base) == made[3:]
    assert hidden(base) == []


def test_files_can_be_read_by_a_server_of_another_user(source: Path, base: Path) -> None:
    (source / "saved_model.pb").chmod(0o600)
    old = os.umask(0o022)
    try:
        folder = base / str(publish(source, base))
    finally:
        os.umask(old)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "saved_model.pb").stat().st_mode & 0o777 == 0o644


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Drops root's privileges if root runs the test."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


@pytest.fixture
def closed_base(source: Path) -> Iterator[tuple[Path, Path]]:
    """A model that all users can read, and a base path with one version that no user can write to."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        model, base = Path(folder, "model"), Path(folder, "reviews")
        shutil.copytree(source, model)
        publish(model, base)
        Path(folder).chmod(0o755)
        base.chmod(0o555)
        yield model, base
        base.chmod(0o755)


def test_a_folder_without_permission(closed_base: tuple[Path, Path], unprivileged: None) -> None:
    model, base = closed_base
    live = versions(base)
    with pytest.raises(PublishError, match=rf"the folder {base} cannot take the model\n.*no permission"):
        publish(model, base)
    with pytest.raises(PublishError, match="no permission"):
        publish(model, base.parent / "another")
    assert versions(base) == live
    assert len(live) == 1


def test_a_file_where_the_folder_should_be(source: Path, base: Path) -> None:
    base.parent.mkdir(parents=True)
    base.write_text("")
    with pytest.raises(PublishError, match="got: a file"):
        publish(source, base)
    with pytest.raises(PublishError, match="got: a file"):
        versions(base)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for only one copy of the model."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_live_version_and_no_leftovers(source: Path, small_disk: Path) -> None:
    base = small_disk / "reviews"
    live = publish(source, base)
    with pytest.raises(PublishError, match="no space left"):
        publish(source, base)
    assert versions(base) == [live]
    assert content(base / str(live)) == content(source)
    assert hidden(base) == []


def test_a_copy_that_fails_halfway_leaves_nothing_behind(source: Path, base: Path) -> None:
    live = publish(source, base)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(PublishError, match="cannot take the model"):
            publish(source, base)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert versions(base) == [live]
    assert hidden(base) == []


def test_a_killed_publisher_leaves_only_what_the_next_one_removes(source: Path, base: Path) -> None:
    live = publish(source, base)
    # Reading a pipe without a writer blocks the copy for as long as the test needs.
    os.mkfifo(source / "variables" / "zz")
    code = (
        "import sys, pathlib; from serving.publish.version_folders import publish; "
        "publish(*map(pathlib.Path, sys.argv[1:]))"
    )
    root = str(Path(__file__).parents[3])
    publisher = subprocess.Popen(tied_to_parent([sys.executable, "-c", code, str(source), str(base)]), cwd=root)
    while not any((base / name / "variables" / "zz").parent.exists() for name in hidden(base)):
        assert publisher.poll() is None
        time.sleep(0.01)
    remove_leftovers(base)
    assert len(hidden(base)) == 1, "the folder of a running publisher was taken for a leftover"
    publisher.send_signal(signal.SIGKILL)
    publisher.wait()
    assert versions(base) == [live]
    assert len(hidden(base)) == 1
    (source / "variables" / "zz").unlink()
    second = publish(source, base)
    assert versions(base) == [live, second]
    assert hidden(base) == []


def test_leftovers_of_a_killed_prune_are_removed(source: Path, base: Path) -> None:
    live = publish(source, base)
    (base / f".removing-5-{'0' * 32}" / "variables").mkdir(parents=True)
    second = publish(source, base)
    assert versions(base) == [live, second]
    assert hidden(base) == []


def test_many_publishers_at_once_all_get_their_own_version(source: Path, base: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: publish(source, base), range(8)))
    assert len(set(made)) == 8
    assert versions(base) == sorted(made)
    assert all(content(base / str(version)) == content(source) for version in made)
    assert hidden(base) == []


def test_a_version_with_a_given_number_replaces_the_old_one(source: Path, base: Path) -> None:
    assert publish(source, base, version=7) == 7
    (source / "saved_model.pb").write_bytes(b"another")
    assert publish(source, base, {"note": b"n"}, version=7) == 7
    assert versions(base) == [7]
    assert content(base / "7") == {**content(source), "note": b"n"}
    assert hidden(base) == []


def test_another_kind_of_model_is_recognized_by_another_file(source: Path, base: Path) -> None:
    with pytest.raises(PublishError, match=r"edge\.json"):
        publish(source, base, known_by="edge.json")
    (source / "saved_model.pb").rename(source / "edge.json")
    assert versions(base) == []
    publish(source, base, known_by="edge.json")
    with pytest.raises(PublishError, match=r"saved_model\.pb"):
        publish(source, base)


def test_numbered_folders_of_other_programs_are_ignored(source: Path, base: Path) -> None:
    """Dated tables, other models, a link to a folder: a push folder may have had another use before."""
    for name in ("20240101", "7"):
        (base / name).mkdir(parents=True)
        (base / name / "table.csv").write_text("text,label")
    (base / "99999999999").symlink_to(source)
    (base / ".publishing-notes").mkdir()
    (base / ".removing-1-mine").mkdir()
    before = content(base)
    made = [publish(source, base) for _ in range(3)]
    assert prune(base, 2) == made[:1]
    assert prune(base, 1, ["assets.extra/transom.json"]) == []
    assert versions(base) == [7, 20240101, 99999999999, *made[1:]]
    assert {name: text for name, text in content(base).items() if name in before} == before
    assert sorted(hidden(base)) == [".publishing-notes", ".removing-1-mine"]


def test_a_failed_replacement_leaves_the_previous_push(source: Path, base: Path) -> None:
    publish(source, base, version=7)
    with pytest.raises(FileNotFoundError):
        _replace(base / ".publishing-gone", base, 7, "saved_model.pb")
    assert (versions(base), hidden(base)) == ([7], [])


def test_a_push_replaces_only_an_earlier_push_of_its_number(source: Path, base: Path) -> None:
    (base / "5").mkdir(parents=True)
    (base / "5" / "table.csv").write_text("text,label")
    (base / "6").symlink_to(source)
    for version in (5, 6):
        with pytest.raises(PublishError, match="move it away"):
            publish(source, base, version=version)
    assert (base / "5" / "table.csv").exists()
    assert (base / "6").is_symlink()
    assert publish(source, base, version=7) == publish(source, base, version=7) == 7
