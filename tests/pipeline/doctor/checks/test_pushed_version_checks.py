from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_projects import make_project, snapshot, statuses, unprivileged

from pipeline.doctor.checks.pushed_version_checks import checks, operations, pushed
from pipeline.doctor.finding import Finding, findings_of

NEEDED = ("saved_model.pb", "variables/variables.index")


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that every user can reach: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        base = Path(folder, "reviews")
        base.mkdir()
        yield base


def push(base: Path, version: int, *operation_names: str) -> Path:
    """A version with a graph of these operations."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    graph = saved.meta_graphs.add().graph_def
    for name in operation_names or ("Const",):
        graph.node.add(name=name.replace(">", "_"), op=name)
    folder = base / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def examine(base: Path) -> list[Finding]:
    before = snapshot(base) if base.is_dir() else {}
    found = list(pushed("pushed models", base, NEEDED))
    assert (snapshot(base) if base.is_dir() else {}) == before
    return found


def test_good_versions(base: Path) -> None:
    assert "none yet" in examine(base)[0].text
    assert "none yet" in examine(base / "missing")[0].text
    push(base, 1)
    push(base, 2)
    assert examine(base)[-1].text == f"2 versions in {base}; the newest is 2"
    assert {finding.status for finding in examine(base)} == {"ok"}


def test_a_push_folder_that_is_a_file(base: Path) -> None:
    (base / "file").touch()
    (found,) = examine(base / "file")
    assert (found.status, found.text) == (
        "error",
        f"the folder {base / 'file'} cannot be read: a file; expected a folder, or nothing",
    )


@pytest.mark.parametrize("file", NEEDED)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_version_that_is_not_complete(file: str, is_empty: bool, base: Path) -> None:
    folder = push(base, 7)
    (folder / file).unlink()
    if is_empty:
        (folder / file).touch()
    (found,) = examine(base)
    assert found.status == "error"
    assert file in found.text
    assert "clients lose their answers" in found.text


def test_a_version_that_cannot_be_read(base: Path) -> None:
    push(base, 1)
    newest = push(base, 2)
    newest.joinpath("variables").chmod(0o700 if os.geteuid() == 0 else 0)
    with unprivileged():
        found = list(pushed("pushed models", base, NEEDED))
    newest.joinpath("variables").chmod(0o755)
    assert statuses(found) == [("pushed models", "error")]
    assert str(newest / "variables") in found[0].text
    assert "chmod" in found[0].remedy


def test_a_push_folder_that_cannot_be_read(base: Path) -> None:
    push(base, 1)
    base.chmod(0o700 if os.geteuid() == 0 else 0)
    with unprivileged():
        found = list(pushed("pushed models", base, NEEDED))
    base.chmod(0o755)
    assert statuses(found) == [("pushed models", "error")]


def test_a_version_that_only_its_owner_can_read(base: Path) -> None:
    folder = push(base, 3)
    (folder / "saved_model.pb").chmod(0o600)
    note, ok = examine(base)
    assert (note.status, ok.status) == ("note", "ok")
    assert str(folder / "saved_model.pb") in note.text


def test_what_pushes_leave_behind(base: Path) -> None:
    push(base, 1)
    running, killed = (base / f".publishing-{digit * 32}" for digit in "ab")
    for folder in (running, killed, base / f".removing-12-{'c' * 32}", base / ".git"):
        folder.mkdir()
    (killed / "part").write_bytes(bytes(2_500_000))
    descriptor = os.open(running, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        notes = [finding.text for finding in examine(base) if finding.status == "note"]
    finally:
        os.close(descriptor)
    assert notes == [
        f"a push is in progress: {running}",
        f"a killed push left {killed} behind, 2.5 MB",
        f"a killed push left {base / f'.removing-12-{chr(99) * 32}'} behind, 0.0 MB",
    ]


@pytest.mark.parametrize(
    ("names", "version", "status", "text"),
    [
        (("Const", "MatMul"), "2.20", "ok", "2.20 has all 2 operations of version 5"),
        (("Const", "Mine>Own"), "2.20.0", "error", "2.20.0 lacks operations of version 5: Mine>Own"),
        (("Const",), "2.21", "ok", "newer ones have as many"),
        (("Const",), "2.19.1", "error", "older than 2.20"),
        (("Const",), "1.99", "error", "older than 2.20"),
    ],
)
def test_the_operations_that_tf_serving_has(
    names: tuple[str, ...], version: str, status: str, text: str, base: Path
) -> None:
    push(base, 5, *names)
    (found,) = operations(base, version)
    assert found.status == status
    assert text in found.text


def test_a_model_whose_graph_cannot_be_read(base: Path) -> None:
    assert statuses(list(operations(base, "2.20"))) == [("TF Serving", "ok")]
    folder = push(base, 5)
    (folder / "saved_model.pb").write_bytes(b"\xff" * 50)
    (found,) = operations(base, "2.20")
    assert found.status == "error"
    (base / "file").touch()
    assert list(operations(base / "file", "2.20")) == []  # told by the check of the models


def test_bundles_are_checked_if_there_are_any(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert [check.name for check in checks(project, "2.20")] == ["pushed models", "pushed bundles", "TF Serving"]
    (project.paths.edge / "1").mkdir(parents=True)
    found = [finding for check in checks(project, "2.20") for finding in findings_of(check)]
    assert ("pushed bundles", "error") in statuses(found)
    off = make_project(tmp_path, edge={"variants": []})
    assert [check.name for check in checks(off, "2.20")] == ["pushed models", "TF Serving"]
