"""The metadata store is looked at before anything runs: what is wrong with it is told, with the way back."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from components.artifacts import MEASURE_AGAIN
from models.errors import BusyError, ConfigError, DataError, TransomError
from pipeline.paths import Paths
from pipeline.runs import metadata_check
from pipeline.runs.artifact_files import is_whole, remember

STEPS = ("ExampleGen", "Transform", "LiveModel")


def connect(paths: Paths) -> metadata_store.MetadataStore:
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(paths.metadata)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(config)


def fill(paths: Paths) -> None:
    """A store as TFX writes one, and the folders that it names. Only LiveModel's is empty."""
    made = connect(paths)
    kind = pb.ArtifactType(name="Examples", properties={"span": pb.INT})
    type_id = made.put_artifact_type(kind)
    run_id = made.put_execution_type(pb.ExecutionType(name="Step"))
    for number, step in enumerate(STEPS, 1):
        folder = paths.artifacts / step / "examples" / str(number)
        folder.mkdir(parents=True)
        if step != "LiveModel":
            (folder / "Split-train").mkdir()
            (folder / "Split-train" / "rows.gz").write_text("rows")
            (folder / "schema.txt").write_text("schema")
        artifact = pb.Artifact(type_id=type_id, uri=str(folder), state=pb.Artifact.LIVE)
        artifact.properties["span"].int_value = number
        artifact.custom_properties["name"].string_value = "größer " * 200
        (artifact_id,) = made.put_artifacts([artifact])
        (execution_id,) = made.put_executions([pb.Execution(type_id=run_id)])
        event = pb.Event(artifact_id=artifact_id, execution_id=execution_id, type=pb.Event.OUTPUT)
        event.path.steps.add().key = "examples"
        made.put_events([event])
        remember(paths.artifacts, artifact_id, folder)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    folder = tmp_path_factory.mktemp("project")
    paths = Paths(base=folder, output=folder / "a b?#%", push=folder / "push", edge=folder / "edge")
    paths.output.mkdir()
    fill(paths)
    shutil.copytree(paths.output, folder / "kept")
    return paths, folder / "kept"


@pytest.fixture
def paths(template: tuple[Paths, Path]) -> Paths:
    """A project's folders as a good run leaves them, always the same: the paths in the store are absolute."""
    paths, kept = template
    shutil.rmtree(paths.output)
    shutil.copytree(kept, paths.output)
    return paths


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
    paths.metadata.touch()  # killed while it was made
    assert metadata_check.check(paths) == []
    (paths.artifacts / "mine").mkdir(parents=True)  # a folder of the user's own
    assert metadata_check.check(paths) == []


def test_the_schema_version_is_that_of_the_library_that_is_installed(paths: Paths) -> None:
    with sqlite3.connect(paths.metadata) as made:
        assert made.execute("SELECT * FROM MLMDEnv").fetchall() == [(metadata_check.SCHEMA_VERSION,)]
        assert {
            name for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        } >= metadata_check.TABLES
    states = pb.Artifact.State
    assert (states.Value("LIVE"), states.Value("DELETED")) == (metadata_check._LIVE, metadata_check._DELETED)


@pytest.mark.parametrize("kept", [0.5, 0.1, 0.99, 15, 16, 1, 0])
def test_a_store_cut_short_is_told_with_the_way_back(paths: Paths, kept: float) -> None:
    content = paths.metadata.read_bytes()
    paths.metadata.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(DataError) as caught:
        metadata_check.check(paths)
    said = str(caught.value)
    assert "metadata.sqlite and artifacts/" in said
    assert "pushed models" in said
    assert "kept" in said


def test_a_store_that_was_removed_without_what_it_names(paths: Paths) -> None:
    """New executions would have the old ones' numbers, and their files would be mixed."""
    paths.metadata.unlink()
    with pytest.raises(DataError, match="it is gone, the artifacts are not"):
        metadata_check.check(paths)
    shutil.rmtree(paths.artifacts)
    assert metadata_check.check(paths) == []


def test_a_store_that_was_removed_with_all_that_a_person_sees_of_the_artifacts(paths: Paths) -> None:
    """`rm -r artifacts/*` leaves hidden files; what they say of an artifact must not be said of the next one."""
    for folder in paths.artifacts.glob("[!.]*"):
        shutil.rmtree(folder)
    paths.metadata.unlink()
    assert metadata_check.check(paths) == []
    folder = paths.artifacts / "LiveModel" / "live_model" / "1"  # of other files than the former first artifact
    folder.mkdir(parents=True)
    (folder / "other.txt").touch()
    remember(paths.artifacts, 1, folder)
    assert is_whole(paths.artifacts, 1, folder)


def test_a_store_from_a_backup_beside_newer_artifacts_is_refused(paths: Paths) -> None:
    """Its next executions would write into the folders of those that it does not know."""
    newer = paths.artifacts / "Transform" / "examples" / "4"
    newer.mkdir(parents=True)
    with pytest.raises(DataError, match="it ends at execution 3, they at 4") as caught:
        metadata_check.check(paths)
    assert "put both back from one backup" in str(caught.value)
    newer.rmdir()
    assert metadata_check.check(paths) == []


@pytest.mark.parametrize("sealed", [True, False])
def test_flipped_bytes_are_told_and_never_reach_the_library(paths: Paths, sealed: bool) -> None:
    whole = paths.metadata.read_bytes()
    used = [place for place in range(len(whole)) if whole[place]]
    random_ = random.Random(0)
    told = 0
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
            told += 1
    assert told >= (149 if sealed else 75)  # what is left is SQLite's own counter of changes


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
    """It ends the process over some of these."""
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


def test_what_is_no_store_is_not_ours_to_remove(paths: Paths) -> None:
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
    with pytest.raises(ConfigError, match="no file"):
        metadata_check.check(paths)
    paths.metadata.unlink()
    paths.metadata.write_text("my notes")
    with pytest.raises(DataError, match="no SQLite database"):
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
    """SQLite's journal stays then, and is played back by the next who opens the store."""
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


@pytest.mark.parametrize(
    ("removed", "steps"),
    [
        ("", ["ExampleGen", "LiveModel", "Transform"]),
        ("Transform", ["Transform"]),
        ("Transform/examples/2", ["Transform"]),
        ("Transform/examples/2/Split-train", ["Transform"]),
        ("ExampleGen/examples/1/schema.txt", ["ExampleGen"]),
        ("LiveModel/examples/3", ["LiveModel"]),
    ],
)
def test_what_is_gone_is_made_again(paths: Paths, removed: str, steps: list[str]) -> None:
    place = paths.artifacts / removed
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert metadata_check.check(paths) == steps
    states = {Path(one.uri).parts[-3]: one.state for one in connect(paths).get_artifacts()}
    assert {step for step, state in states.items() if state == pb.Artifact.DELETED} == set(steps)
    assert metadata_check.check(paths) == []  # told once


def test_a_refusal_of_the_moment_is_not_taken_from_the_cache(paths: Paths) -> None:
    assert metadata_check.AGAIN == MEASURE_AGAIN
    made = connect(paths)
    refused, stands = made.get_artifacts_by_id([1, 2])
    refused.custom_properties[MEASURE_AGAIN].int_value, stands.custom_properties[MEASURE_AGAIN].int_value = 1, 0
    made.put_artifacts([refused, stands])
    assert metadata_check.check(paths) == []
    states = {one.id: one.state for one in connect(paths).get_artifacts()}
    assert states == {1: pb.Artifact.DELETED, 2: pb.Artifact.LIVE, 3: pb.Artifact.LIVE}


def test_what_a_moved_project_left_behind_is_made_again(paths: Paths) -> None:
    """The store holds full paths, which still lead to where the folder was."""
    moved = replace(paths, output=paths.output.with_name("moved"))
    paths.output.rename(moved.output)
    try:
        assert metadata_check.check(moved) == sorted(STEPS)
    finally:
        moved.output.rename(paths.output)


def test_what_is_gone_behind_a_link_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFX works by way of a link where the folder's name is a pattern; see `Paths.root`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = Paths(base=tmp_path, output=tmp_path / "out [v2]", push=tmp_path / "p", edge=tmp_path / "e")
    paths.output.mkdir()
    paths.make_root()
    fill(paths)
    with sqlite3.connect(paths.metadata) as made:
        told = (f"{paths.artifacts}/", f"{paths.root}/")
        made.execute("UPDATE Artifact SET uri = replace(uri, ?, ?)", told)
    made.close()
    assert metadata_check.check(paths) == []
    shutil.rmtree(paths.artifacts / "Transform")
    with pytest.raises(FileNotFoundError) as missing:
        (paths.root / "Transform/examples/2/schema.txt").read_text()
    told_of = metadata_check.explain_store_error(missing.value, paths)
    assert told_of is not None
    assert f"remove {paths.artifacts}/Transform/examples/2, and run again" in told_of.fix
    assert metadata_check.check(paths) == ["Transform"]


def test_what_is_emptied_or_cut_is_made_again(paths: Paths) -> None:
    (paths.artifacts / "ExampleGen/examples/1/Split-train/rows.gz").write_text("row")
    for path in sorted((paths.artifacts / "Transform/examples/2").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert metadata_check.check(paths) == ["ExampleGen", "Transform"]


def test_what_an_older_version_wrote_is_whole_where_there_is_a_file(paths: Paths) -> None:
    shutil.rmtree(paths.artifacts / ".files")
    assert metadata_check.check(paths) == ["LiveModel"]  # an empty folder; it is copied again in no time


def test_files_that_came_later_harm_nothing(paths: Paths) -> None:
    (paths.artifacts / "Transform/examples/2/notes.txt").write_text("mine")
    assert metadata_check.check(paths) == []


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
    told = metadata_check.explain_store_error(missing.value, paths)
    assert told is not None
    assert f"remove {paths.artifacts}/Transform/examples/2, and run again" in told.fix
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
    assert time.monotonic() - begin < 5  # 0.1 s; a hang, not a speed, is what this finds
