"""Checks TFX's metadata store before a run: whether it is usable, and whether the artifacts that it names exist.

A damaged store would otherwise stop a run somewhere in TFX or, worse, give an old result to a new step. Four things
are checked, in milliseconds: the file is a SQLite database with intact pages; it has the tables and the schema version
of the installed ml-metadata, every text in it can be decoded, and it knows all executions whose folders exist; its
bytes are those that the last run left, if that run finished and no other program has written to it since; and the
folders of its live artifacts hold the files that the steps wrote. No TensorFlow, no TFX.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from models.errors import BusyError, ConfigError, DataError, TransomError, causes, os_errors_as
from pipeline.paths import Paths
from pipeline.runs.store.artifact_files import forget_all, is_complete
from pipeline.runs.store.metadata_rows import TABLES, invalid_row
from tflite.host.json_text import to_json

SCHEMA_VERSION = 10
"""The schema version of the installed ml-metadata; a test compares the two."""
LIVE, DELETED = 2, 4  # ml_metadata's Artifact.State
_BUSY_S = 5.0
_THOROUGH_BYTES = 64 * 2**20
AGAIN = "again"
"""A copy of `components.artifacts.MEASURE_AGAIN`, whose module imports TensorFlow; a test compares the two."""
_DELETE_TEMPORARY_REFUSALS = (
    f"UPDATE Artifact SET state = {DELETED} WHERE state = {LIVE} AND id IN "
    "(SELECT artifact_id FROM ArtifactProperty WHERE name = ? AND is_custom_property = 1 AND int_value = 1)"
)
_HEADER, _COUNTER = b"SQLite format 3\0", slice(24, 28)  # https://www.sqlite.org/fileformat2.html


def check(paths: Paths) -> list[str]:
    """Checks the store of a project whose lock this process holds.

    Refusals of a gate for a temporary reason are also marked as deleted, so that the gate decides again.

    Returns:
        The steps whose artifacts are missing. These are marked as deleted, so that the steps run again.

    Raises:
        ConfigError: the path holds something other than a store of this version.
        DataError: the store is damaged, or missing while its artifacts are still there.
        BusyError: another program holds it.
    """
    gone = find_incomplete(paths)
    if not _is_there(paths.metadata):
        forget_all(paths.artifacts)
        return []
    with open_store(paths) as store:
        store.execute("BEGIN EXCLUSIVE")
        store.executemany(f"UPDATE Artifact SET state = {DELETED} WHERE id = ?", [(number,) for number, _ in gone])
        store.execute(_DELETE_TEMPORARY_REFUSALS, (AGAIN,))
        store.execute("COMMIT")
    _seal_file(paths.metadata).unlink(missing_ok=True)  # it would not match what this run writes
    return sorted({step for _, step in gone})


def find_incomplete(paths: Paths) -> list[tuple[int, str]]:
    """Checks the store, and changes nothing.

    Returns:
        The live artifacts whose files are missing: number and step.

    Raises:
        TransomError: see `check`.
    """
    path = paths.metadata
    if not _is_there(path):
        if any(_execution_numbers(paths)):
            raise _damaged(paths, "it is empty" if path.exists() else "it is missing, but the artifacts are there")
        return []
    _check_bytes(paths)
    with open_store(paths) as store:
        _check_pages(store, paths)
        _check_schema(store, paths)
        if (wrong := invalid_row(store)) is not None:
            raise _damaged(paths, wrong)
        _check_age(store, paths)
        return _incomplete_artifacts(store, paths)


def seal(paths: Paths) -> None:
    """Records a hash of the store at the end of a run, so that the next run can detect changes."""
    try:
        content = paths.metadata.read_bytes()
        seal = {"sha256": hashlib.sha256(content).hexdigest(), "change_counter": content[_COUNTER].hex()}
        _seal_file(paths.metadata).write_text(to_json(seal) + "\n", encoding="utf-8")
    except OSError:
        _seal_file(paths.metadata).unlink(missing_ok=True)


def explain_store_error(error: BaseException, paths: Paths) -> TransomError | None:
    """Explains a failed access of TFX to the store in a run, or a missing artifact; None for other errors."""
    gone = _missing(error, paths)
    if gone is not None:
        return DataError(
            f"{paths.artifacts / gone} is missing",
            got="no such file or folder",
            expected="the output of an earlier step",
            fix=f"remove {paths.artifacts.joinpath(*gone.parts[:3])}, and run again: the step that wrote it runs again",
        )
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not any(f"{os.sep}ml_metadata{os.sep}" in frame for frame in frames[-8:]):
        return None
    return _busy(paths) if "locked" in str(error) else _damaged(paths, " ".join(str(error).split())[:300])


def _missing(error: BaseException, paths: Paths) -> Path | None:
    """The missing file's path relative to the artifacts' folder, if it is in there."""
    for cause in causes(error):
        if isinstance(cause, FileNotFoundError):
            file = Path(str(cause.filename))
            for root in (paths.artifacts, paths.root):  # the one that TFX uses may be a link
                if file.is_relative_to(root):
                    return file.relative_to(root)
    return None


def _is_there(path: Path) -> bool:
    """Whether there is a store; an empty file is none, as for SQLite."""
    if not os.path.lexists(path):
        return False
    if not path.is_file():
        raise ConfigError(
            f"the metadata store {path}",
            got="a folder" if path.is_dir() else "not a regular file",
            expected="TFX's metadata store, or nothing",
            fix="move it away, or set `output:` to another folder",
        )
    return path.stat().st_size > 0


def _execution_numbers(paths: Paths) -> Iterator[int]:
    """The numbers of the executions whose output folders exist: STEP/OUTPUT/NUMBER."""
    return (int(folder.name) for folder in paths.artifacts.glob("*/*/*") if folder.name.isdecimal())


def _check_bytes(paths: Paths) -> None:
    what, expected = f"the metadata store {paths.metadata}", "a file that this user can read and write"
    fix = "change its permissions, or set `output:` to another folder"
    with os_errors_as(ConfigError, what, expected=expected, fix=fix):
        content = paths.metadata.read_bytes()
    if not content.startswith(_HEADER):
        raise _damaged(paths, "it is not a SQLite database")
    try:
        sealed = json.loads(_seal_file(paths.metadata).read_text(encoding="utf-8"))
        changed = (
            sealed["change_counter"] == content[_COUNTER].hex()
            and sealed["sha256"] != hashlib.sha256(content).hexdigest()
        )
    except (OSError, ValueError, LookupError, TypeError):
        return  # the last run did not finish, or was of an older version
    if changed:
        raise _damaged(paths, "its bytes changed since the last run, but no program has written to it")


@contextmanager
def open_store(paths: Paths) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"file:{quote(str(paths.metadata))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)) as store:
            yield store
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise _sqlite_error(error, paths) from None


def _sqlite_error(error: Exception, paths: Paths) -> TransomError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(paths)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigError(
            f"the metadata store {paths.metadata}",
            got=str(error),
            expected="a file that this user can read and write, in a writable folder",
            fix="change the permissions, or set `output:` to another folder",
        )
    if code == sqlite3.SQLITE_FULL:
        return ConfigError(f"the metadata store {paths.metadata}", got=str(error), fix="make room and run again")
    return _damaged(paths, str(error))


def _check_pages(store: sqlite3.Connection, paths: Paths) -> None:
    # The thorough check, which includes the indices, takes a second for 50 MB: some thousand runs.
    thorough = paths.metadata.stat().st_size <= _THOROUGH_BYTES
    (result,) = store.execute(f"PRAGMA {'integrity' if thorough else 'quick'}_check(1)").fetchone()
    if result != "ok":
        raise _damaged(paths, " ".join(result.split())[:200])


def _check_schema(store: sqlite3.Connection, paths: Paths) -> None:
    present = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not present & TABLES:
        raise ConfigError(
            f"the metadata store {paths.metadata}",
            got=f"another program's database ({', '.join(sorted(present)[:3]) or 'no tables'})",
            expected="TFX's metadata store, or nothing",
            fix="move it away, or set `output:` to another folder",
        )
    if TABLES - present:
        raise _damaged(paths, f"it has no table {', '.join(sorted(TABLES - present))}")
    versions = [version for (version,) in store.execute("SELECT schema_version FROM MLMDEnv")]
    if versions != [SCHEMA_VERSION]:
        if len(versions) != 1 or not isinstance(versions[0], int) or not 0 < versions[0] < 1000:
            raise _damaged(paths, f"its schema versions are {versions[:3]}")
        age = "a newer" if versions[0] > SCHEMA_VERSION else "an older"
        raise ConfigError(
            f"the metadata store {paths.metadata}",
            got=f"schema version {versions[0]}, of {age} Transom",
            expected=f"schema version {SCHEMA_VERSION}",
            fix=f"run with that Transom, or set `output:` to another folder; or {_recovery(paths)}",
        )


def _check_age(store: sqlite3.Connection, paths: Paths) -> None:
    """Refuses a store from a backup: new executions would reuse the numbers and folders of those it lacks."""
    (known,) = store.execute("SELECT coalesce(max(id), 0) FROM Execution").fetchone()
    newest = max(_execution_numbers(paths), default=0)
    if newest > known:
        raise _damaged(paths, f"it is older than the artifacts: it ends at execution {known}, they end at {newest}")


def _incomplete_artifacts(store: sqlite3.Connection, paths: Paths) -> list[tuple[int, str]]:
    """Live artifacts with missing files, as number and step: each path ends with STEP/OUTPUT/NUMBER.

    The store holds absolute paths: after a project was moved, they lead to its old place.
    """
    rows = store.execute("SELECT id, uri FROM Artifact WHERE state = ?", (LIVE,)).fetchall()
    folders = [(number, Path(str(uri))) for number, uri in rows if str(uri).startswith(os.sep)]
    return [
        (number, folder.parts[-3])
        for number, folder in folders
        if len(folder.parts) > 3 and not is_complete(paths.artifacts, number, folder)
    ]


def _seal_file(metadata: Path) -> Path:
    return metadata.with_suffix(".seal.json")


def _busy(paths: Paths) -> BusyError:
    return BusyError(
        f"the metadata store {paths.metadata}",
        got="another program holds it",
        expected="one program at a time",
        fix="close the program that has it open (a database browser, a notebook), and run again",
    )


def _damaged(paths: Paths, got: str) -> DataError:
    return DataError(
        f"the metadata store {paths.metadata} cannot be used",
        got=got,
        expected="TFX's records of the runs",
        fix=f"{_recovery(paths)}; or restore both from the same backup",
    )


def _recovery(paths: Paths) -> str:
    return (
        f"move {paths.metadata.name} and {paths.artifacts.name}/ in {paths.output} away, and run again: every step "
        "runs from the beginning; pushed models and bundles, checkpoints and the records of earlier runs are kept"
    )
