"""The metadata store is checked before a run: damage is reported, with the way back."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from metadata_stores import connect
from ml_metadata.proto import metadata_store_pb2 as pb

from models.errors import BusyError, ConfigError, DataError, TransomError
from pipeline.paths import Paths
from pipeline.runs.store import metadata_check
from pipeline.runs.store.artifact_files import is_complete, record_files


def test_a_good_store_passes_and_stays_as_it_is(paths: Paths) -> None:
    before = paths.metadata.read_bytes()
    for _ in range(2):
        assert metadata_check.check(paths) == []
        metadata_check.seal(paths)
    assert paths.metadata.read_bytes() == before
    assert [one.id for one in connect(paths).get_artifacts()] == [1, 2, 3]


def test_a_first_run_has_no_store(tmp_path: Path) -> None:
    paths = Paths(base=tmp_path, output=tmp_path / "out", push=tmp_path / "p", edge=tmp_path / "e")
    assert metadata_check.check(paths) == []
    paths.output.mkdir()
    paths.metadata.touch()  # killed while it was created
    assert metadata_check.check(paths) == []
    (paths.artifacts / "mine").mkdir(parents=True)  # the user's own folder
    assert metadata_check.check(paths) == []


def test_the_schema_version_is_that_of_the_library_that_is_installed(paths: Paths) -> None:
    with sqlite3.connect(paths.metadata) as made:
        assert made.execute("SELECT * FROM MLMDEnv").fetchall() == [(metadata_check.SCHEMA_VERSION,)]
        assert {
            name for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        } >= metadata_check.TABLES
    states = pb.Artifact.State
    assert (states.Value("LIVE"), states.Value("DELETED")) == (metadata_check.LIVE, metadata_check.DELETED)


@pytest.mark.parametrize("kept", [0.5, 0.1, 0.99, 15, 16, 1, 0])
def test_a_truncated_store_is_refused_with_the_way_back(paths: Paths, kept: float) -> None:
    content = paths.metadata.read_bytes()
    paths.metadata.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(DataError) as caught:
        metadata_check.check(paths)
    message = str(caught.value)
    assert "metadata.sqlite and artifacts/" in message
    assert "pushed models" in message
    assert "kept" in message


def test_a_store_that_was_removed_without_what_it_names(paths: Paths) -> None:
    """New executions would reuse the old numbers, and their files would mix."""
    paths.metadata.unlink()
    with pytest.raises(DataError, match="it is missing, but the artifacts are there"):
        metadata_check.check(paths)
    shutil.rmtree(paths.artifacts)
    assert metadata_check.check(paths) == []


def test_a_store_that_was_removed_with_all_that_a_person_sees_of_the_artifacts(paths: Paths) -> None:
    """`rm -r artifacts/*` leaves hidden files, whose records must not be used for the next artifact."""
    for folder in paths.artifacts.glob("[!.]*"):
        shutil.rmtree(folder)
    paths.metadata.unlink()
    assert metadata_check.check(paths) == []
    folder = paths.artifacts / "LiveModel" / "live_model" / "1"  # with other files than the former artifact 1
    folder.mkdir(parents=True)
    (folder / "other.txt").touch()
    record_files(paths.artifacts, 1, folder)
    assert is_complete(paths.artifacts, 1, folder)


def test_a_store_from_a_backup_beside_newer_artifacts_is_refused(paths: Paths) -> None:
    """Its next executions would write into the folders of executions that it does not have."""
    newer = paths.artifacts / "Transform" / "examples" / "4"
    newer.mkdir(parents=True)
    with pytest.raises(DataError, match="it ends at execution 3, they end at 4") as caught:
        metadata_check.check(paths)
    assert "restore both from the same backup" in str(caught.value)
    newer.rmdir()
    assert metadata_check.check(paths) == []


@pytest.mark.parametrize("sealed", [True, False])
def test_flipped_bytes_are_refused_and_never_reach_the_library(paths: Paths, sealed: bool) -> None:
    whole = paths.metadata.read_bytes()
    used = [place for place in range(len(whole)) if whole[place]]
    random_ = random.Random(0)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for place in random_.sample(used, random_.choice((1, 1, 5))):
            content[place] ^= 1 << random_.randrange(8)
        paths.metadata.write_bytes(whole)
        metadata_check.seal(paths)
        paths.metadata.write_bytes(content)
        if not sealed:
            (paths.output / "metadata.seal.json").unlink()
        try:
            metadata_check.check(paths)
        except TransomError:
            refused += 1
    assert refused >= (149 if sealed else 75)  # undetected: changes of SQLite's own change counter


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ArtifactProperty SET is_custom_property = 7",
        "UPDATE ArtifactProperty SET name = CAST(x'ff' AS TEXT)",
        "UPDATE Artifact SET state = 99",
        "UPDATE Artifact SET type_id = 99",
        "UPDATE Artifact SET type_id = 'Examples'",
        "UPDATE Artifact SET uri = x'00ff'",
        "UPDATE Execution SET last_known_state = -1",
        "UPDATE Event SET execution_id = 99",
        "UPDATE Event SET type = 99",
        "DELETE FROM Type",
        "DELETE FROM MLMDEnv",
        "DROP TABLE EventPath",
        "ALTER TABLE Artifact RENAME COLUMN uri TO url",
    ],
)
def test_what_the_library_would_choke_on_is_damage(paths: Paths, statement: str) -> None:
    """The library aborts the process for some of these."""
    with sqlite3.connect(paths.metadata) as made:
        made.execute(statement)
    made.close()
    with pytest.raises(DataError, match="cannot be used"):
        metadata_check.check(paths)


@pytest.mark.parametrize(("version", "age"), [(11, "a newer"), (9, "an older")])
def test_a_store_of_another_version_is_not_damaged(paths: Paths, version: int, age: str) -> None:
    with sqlite3.connect(paths.metadata) as made:
        made.execute("UPDATE MLMDEnv SET schema_version = ?", (version,))
    made.close()
    with pytest.raises(ConfigError, match=f"schema version {version}, of {age} Transom"):
        metadata_check.check(paths)


def test_a_file_that_is_not_a_store_is_refused(paths: Paths) -> None:
    paths.metadata.unlink()
    with sqlite3.connect(paths.metadata) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    other.close()
    with pytest.raises(ConfigError, match="another program's database"):
        metadata_check.check(paths)
    paths.metadata.unlink()
    paths.metadata.mkdir()
    with pytest.raises(ConfigError, match="a folder"):
        metadata_check.check(paths)
    paths.metadata.rmdir()
    paths.metadata.symlink_to(paths.output / "nowhere")
    with pytest.raises(ConfigError, match="not a regular file"):
        metadata_check.check(paths)
    paths.metadata.unlink()
    paths.metadata.write_text("my notes")
    with pytest.raises(DataError, match="not a SQLite database"):
        metadata_check.check(paths)


@pytest.mark.parametrize("held", ["BEGIN IMMEDIATE", "BEGIN; SELECT * FROM Type", "BEGIN EXCLUSIVE"])
def test_a_store_that_another_program_holds(paths: Paths, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    monkeypatch.setattr(metadata_check, "_BUSY_S", 0.1)
    other = sqlite3.connect(paths.metadata, isolation_level=None)
    try:
        cursors = [other.execute(statement) for statement in held.split("; ")]
        with pytest.raises(BusyError, match="another program holds it"):
            metadata_check.check(paths)
        del cursors
    finally:
        other.close()
    assert metadata_check.check(paths) == []


def test_a_killed_run_in_the_middle_of_a_write_is_rolled_back(paths: Paths) -> None:
    """SQLite's journal is left, and replayed when the store is next opened."""
    writing = sqlite3.connect(paths.metadata, isolation_level=None)
    writing.execute("PRAGMA cache_size = 1")
    writing.execute("PRAGMA cache_spill = 1")
    writing.execute("BEGIN")
    writing.executemany(
        "INSERT INTO Type (name, type_kind) VALUES (?, 1)", [(f"{n}" * 200,) for n in range(1000, 2000)]
    )
    copy = Path(f"{paths.metadata}-journal").read_bytes(), paths.metadata.read_bytes()
    writing.close()
    Path(f"{paths.metadata}-journal").write_bytes(copy[0])
    paths.metadata.write_bytes(copy[1])
    assert metadata_check.check(paths) == []
    assert not Path(f"{paths.metadata}-journal").exists()
    assert [one.name for one in connect(paths).get_artifact_types() if one.name[0] == "1"] == []


def test_another_program_may_write_to_the_store(paths: Paths) -> None:
    metadata_check.seal(paths)
    with sqlite3.connect(paths.metadata) as made:
        made.execute("UPDATE Artifact SET name = 'renamed' WHERE id = 1")
    made.close()
    assert metadata_check.check(paths) == []


def test_what_the_library_says_of_the_store_in_a_run_is_explained(paths: Paths) -> None:
    paths.metadata.write_bytes(paths.metadata.read_bytes()[:8192])
    with pytest.raises(RuntimeError, match="malformed") as caught:
        connect(paths)
    assert isinstance(metadata_check.explain_store_error(caught.value, paths), DataError)
    with pytest.raises(FileNotFoundError) as missing:
        (paths.artifacts / "Transform/examples/2/Split-eval/rows.gz").read_text()
    explained = metadata_check.explain_store_error(missing.value, paths)
    assert explained is not None
    assert f"remove {paths.artifacts}/Transform/examples/2, and run again" in explained.fix
    with pytest.raises(ZeroDivisionError) as other:
        1 / 0  # noqa: B018
    assert metadata_check.explain_store_error(other.value, paths) is None


def test_a_large_store_is_checked_in_a_moment(paths: Paths) -> None:
    with sqlite3.connect(paths.metadata) as made:
        made.executemany(
            "INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value) VALUES (1, ?, 1, ?)",
            [(f"name {number}", "value " * 50) for number in range(20_000)],
        )
    made.close()
    begin = time.monotonic()
    assert metadata_check.check(paths) == []
    assert time.monotonic() - begin < 5  # it takes 0.1 s: this detects a hang, not a slowdown
