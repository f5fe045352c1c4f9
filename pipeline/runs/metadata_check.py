"""TFX's records, looked at before anything runs: whether they can be used, and whether what they name is still there.

A store that is damaged would otherwise end a run somewhere in TFX, or, worse, hand an old result to a new step. Four
things are checked, in milliseconds: the file is SQLite's and its pages are whole; it has the tables and
the schema version of the ml-metadata that is installed, every text in it can be read, and it knows of all that lies
there; its bytes are those that the last run left, where that run came to its end and no other program has written to it
since; and the folders of its live artifacts hold the files that the steps wrote. No TensorFlow, no TFX.
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

from models.errors import BusyError, ConfigError, DataError, TransomError
from pipeline.paths import Paths
from pipeline.runs.artifact_files import forget, is_whole
from pipeline.runs.metadata_rows import TABLES, wrong_row
from tflite.host.json_text import to_json

SCHEMA_VERSION = 10
"""Of the ml-metadata that is installed; a test holds it to that."""
_LIVE, _DELETED = 2, 4  # ml_metadata's Artifact.State
_BUSY_S = 5.0
_THOROUGH_BYTES = 64 * 2**20
AGAIN = "again"
"""`components.artifacts.MEASURE_AGAIN`, which brings TensorFlow with it; a test holds it to that."""
_FORGET_MOMENTS = (
    f"UPDATE Artifact SET state = {_DELETED} WHERE state = {_LIVE} AND id IN "
    "(SELECT artifact_id FROM ArtifactProperty WHERE name = ? AND is_custom_property = 1 AND int_value = 1)"
)
_HEADER, _COUNTER = b"SQLite format 3\0", slice(24, 28)  # https://www.sqlite.org/fileformat2.html


def check(paths: Paths) -> list[str]:
    """Checks the store of a project whose lock this process holds.

    What a gate refused for a reason of the moment is marked as deleted, too, so that the gate asks again.

    Returns:
        The steps that wrote what is no longer there. It is marked as deleted, so that they run again.

    Raises:
        ConfigError: there is something in the store's place that is no store of this version.
        DataError: the store is damaged, or gone while what it names is still there.
        BusyError: another program holds it.
    """
    path = paths.metadata
    if not _is_there(path):
        if any(_numbers(paths)):
            raise _damaged(paths, "it is empty" if path.exists() else "it is gone, the artifacts are not")
        forget(paths.artifacts)
        return []
    _check_bytes(paths)
    with _opened(paths) as store:
        _check_pages(store, paths)
        _check_schema(store, paths)
        if (wrong := wrong_row(store)) is not None:
            raise _damaged(paths, wrong)
        _check_age(store, paths)
        gone = _gone(store, paths)
        store.execute("BEGIN EXCLUSIVE")
        store.executemany(f"UPDATE Artifact SET state = {_DELETED} WHERE id = ?", [(number,) for number, _ in gone])
        store.execute(_FORGET_MOMENTS, (AGAIN,))
        store.execute("COMMIT")
    _seal_file(path).unlink(missing_ok=True)  # it says nothing of what this run will write
    return sorted({step for _, step in gone})


def seal(paths: Paths) -> None:
    """Writes down which bytes this run leaves, so that the next one sees whether they have changed."""
    try:
        content = paths.metadata.read_bytes()
        told = {"sha256": hashlib.sha256(content).hexdigest(), "change_counter": content[_COUNTER].hex()}
        _seal_file(paths.metadata).write_text(to_json(told) + "\n", encoding="utf-8")
    except OSError:
        _seal_file(paths.metadata).unlink(missing_ok=True)


def explain_store_error(error: BaseException, paths: Paths) -> TransomError | None:
    """What is to be told where TFX's own access to the store failed in a run, or a step found an artifact gone.

    None where something else failed.
    """
    gone = _missing(error, paths)
    if gone is not None:
        return DataError(
            f"{paths.artifacts / gone} is gone",
            got="no such file or folder",
            expected="what an earlier step wrote",
            fix=f"remove {paths.artifacts.joinpath(*gone.parts[:3])}, and run again: the step that wrote it runs again",
        )
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not any(f"{os.sep}ml_metadata{os.sep}" in frame for frame in frames[-8:]):
        return None
    return _busy(paths) if "locked" in str(error) else _damaged(paths, " ".join(str(error).split())[:300])


def _missing(error: BaseException | None, paths: Paths) -> Path | None:
    """The file below the artifacts' folder that was not found, relative to it."""
    while error is not None:
        if isinstance(error, FileNotFoundError):
            file = Path(str(error.filename))
            for root in (paths.artifacts, paths.root):  # the one that TFX is told of may be a link
                if file.is_relative_to(root):
                    return file.relative_to(root)
        error = error.__cause__ or error.__context__
    return None


def _is_there(path: Path) -> bool:
    """Whether there is a store; what is empty is none, as SQLite sees it, too."""
    if not os.path.lexists(path):
        return False
    if not path.is_file():
        raise ConfigError(
            f"the metadata store {path}",
            got="a folder" if path.is_dir() else "no file",
            expected="a file of TFX's records, or nothing",
            fix="move it away, or set `output:` to another folder",
        )
    return path.stat().st_size > 0


def _numbers(paths: Paths) -> Iterator[int]:
    """The numbers of the executions whose outputs are there: STEP/OUTPUT/NUMBER."""
    return (int(folder.name) for folder in paths.artifacts.glob("*/*/*") if folder.name.isdecimal())


def _check_bytes(paths: Paths) -> None:
    try:
        content = paths.metadata.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the metadata store {paths.metadata}",
            got=error.strerror or str(error),
            expected="a file that this user can read and write",
            fix="change its permissions, or set `output:` to another folder",
        ) from None
    if not content.startswith(_HEADER):
        raise _damaged(paths, "it is no SQLite database")
    try:
        told = json.loads(_seal_file(paths.metadata).read_text(encoding="utf-8"))
        changed = (
            told["change_counter"] == content[_COUNTER].hex() and told["sha256"] != hashlib.sha256(content).hexdigest()
        )
    except (OSError, ValueError, LookupError, TypeError):
        return  # the last run did not come to its end, or was an older version's
    if changed:
        raise _damaged(paths, "it is not as the last run left it, and no program has written to it")


@contextmanager
def _opened(paths: Paths) -> Iterator[sqlite3.Connection]:
    try:
        place = f"file:{quote(str(paths.metadata))}?mode=rw"
        with closing(sqlite3.connect(place, uri=True, timeout=_BUSY_S, isolation_level=None)) as store:
            yield store
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise _of_sqlite(error, paths) from None


def _of_sqlite(error: Exception, paths: Paths) -> TransomError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(paths)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigError(
            f"the metadata store {paths.metadata}",
            got=str(error),
            expected="a file that this user can read and write, in a folder where files can be made",
            fix="change the permissions, or set `output:` to another folder",
        )
    if code == sqlite3.SQLITE_FULL:
        return ConfigError(f"the metadata store {paths.metadata}", got=str(error), fix="make room and run again")
    return _damaged(paths, str(error))


def _check_pages(store: sqlite3.Connection, paths: Paths) -> None:
    # The thorough check, of the indices too, takes a second for 50 MB, which are some thousand runs.
    thorough = paths.metadata.stat().st_size <= _THOROUGH_BYTES
    (said,) = store.execute(f"PRAGMA {'integrity' if thorough else 'quick'}_check(1)").fetchone()
    if said != "ok":
        raise _damaged(paths, " ".join(said.split())[:200])


def _check_schema(store: sqlite3.Connection, paths: Paths) -> None:
    present = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not present & TABLES:
        raise ConfigError(
            f"the metadata store {paths.metadata}",
            got=f"another program's database ({', '.join(sorted(present)[:3]) or 'no tables'})",
            expected="TFX's records, or nothing",
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
            fix=f"run with that Transom, or set `output:` to another folder; or {_way_back(paths)}",
        )


def _check_age(store: sqlite3.Connection, paths: Paths) -> None:
    """Refuses a store from a backup: new executions would have the numbers, and the folders, of those it lacks."""
    (known,) = store.execute("SELECT coalesce(max(id), 0) FROM Execution").fetchone()
    newest = max(_numbers(paths), default=0)
    if newest > known:
        raise _damaged(paths, f"it is older than the artifacts: it ends at execution {known}, they at {newest}")


def _gone(store: sqlite3.Connection, paths: Paths) -> list[tuple[int, str]]:
    """Live artifacts whose files are not all there, by number and step: STEP/OUTPUT/NUMBER ends each one's path.

    The store holds the paths in full: those of a project that was moved lead to where it was.
    """
    rows = store.execute("SELECT id, uri FROM Artifact WHERE state = ?", (_LIVE,)).fetchall()
    folders = [(number, Path(str(uri))) for number, uri in rows if str(uri).startswith(os.sep)]
    return [
        (number, folder.parts[-3])
        for number, folder in folders
        if len(folder.parts) > 3 and not is_whole(paths.artifacts, number, folder)
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
        expected="the records that TFX keeps of the runs",
        fix=f"{_way_back(paths)}; or put both back from one backup",
    )


def _way_back(paths: Paths) -> str:
    return (
        f"move {paths.metadata.name} and {paths.artifacts.name}/ in {paths.output} away, and run again: every step "
        "runs anew; pushed models and bundles, checkpoints and the records of earlier runs are kept"
    )
