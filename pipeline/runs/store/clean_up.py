"""`transom clean`: removes the artifacts that nothing needs any more. No TensorFlow, no TFX.

Kept are the artifacts that the last runs made or used, which are also those that the next run's cache finds; those from
which a version was made that is still in the push folder; and all records of runs. What is pushed is not touched. An
artifact is first marked as deleted in TFX's store, so that its cache no longer finds it; then its folder is removed. A
clean-up that is interrupted can be repeated.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError, TransomError
from pipeline.paths import Paths
from pipeline.runs.store import metadata_check
from serving.errors import PublishError
from serving.publish.version_folders import versions

# The parts of the store's tables that belong to a run: TFX has a context of the type "pipeline_run" for each.
_RUNS = (
    "SELECT Context.id FROM Context JOIN Type ON Type.id = Context.type_id WHERE Type.name = 'pipeline_run' "
    "ORDER BY Context.id DESC"
)
# Those that have a model: whether trained, or taken from the cache.
_RUNS_WITH_MODEL = (
    "SELECT DISTINCT Association.context_id FROM Association "
    "JOIN Execution ON Execution.id = Association.execution_id JOIN Type ON Type.id = Execution.type_id "
    "WHERE Type.name LIKE '%.Trainer' AND Execution.last_known_state IN (3, 5)"
)
_ARTIFACTS_OF_RUN = (
    "SELECT DISTINCT Event.artifact_id FROM Association JOIN Event ON Event.execution_id = Association.execution_id "
    "WHERE Association.context_id = ?"
)
_PUSHED = "SELECT artifact_id, string_value FROM ArtifactProperty WHERE name = 'pushed_version'"
_RUNS_OF_ARTIFACT = (
    "SELECT DISTINCT Association.context_id FROM Association JOIN Event "
    "ON Event.execution_id = Association.execution_id WHERE Event.artifact_id = ? AND Event.type = 4"  # an output
)


@dataclass(frozen=True)
class Leftover:
    """A folder that nothing needs.

    Attributes:
        artifact: its number in TFX's store; None if that does not know the folder.
        why: for people.
    """

    folder: Path
    size: int
    why: str
    artifact: int | None = None


def find_leftovers(paths: Paths, runs: int) -> list[Leftover]:
    """The folders that nothing needs, of a project whose lock this process holds.

    Args:
        runs: the number of runs with a model, counted from the last, whose artifacts are kept.

    Raises:
        TransomError: the store or the push folder cannot be read.
    """
    if not paths.artifacts.is_dir():
        return []
    gone = {number for number, _ in metadata_check.find_incomplete(paths)}
    known: dict[tuple[str, ...], tuple[int, Path, bool]] = {}
    needed: set[int] = set()
    if paths.metadata.is_file():
        with metadata_check.open_store(paths) as store:
            for number, uri, state in store.execute("SELECT id, uri, state FROM Artifact"):
                place, live = Path(str(uri)), state == metadata_check.LIVE
                _check_not_moved(paths, place, live and number in gone)
                known[place.parts[-3:]] = number, place, live and number not in gone
            needed = _needed(store, paths, runs)
    found = []
    for folder in sorted(folder for folder in paths.artifacts.glob("*/*/*") if folder.name.isdecimal()):
        if folder.parts[-2].startswith("."):
            continue
        number, place, valid = known.get(folder.parts[-3:], (None, folder, False))
        if number is None:
            found.append(Leftover(folder, _size(folder), "of a step that did not end"))
        elif not valid:
            found.append(Leftover(folder, _size(folder), "no longer valid", number))
        elif place != paths.root / folder.relative_to(paths.artifacts):
            found.append(Leftover(folder, _size(folder), f"a copy: the results in use are in {place}"))
        elif number not in needed:
            found.append(Leftover(folder, _size(folder), "of earlier runs", number))
    for folder in temporary_folders(paths.artifacts):
        found.append(Leftover(folder, _size(folder), "temporary files of a run that was killed"))
    return found


def _check_not_moved(paths: Paths, place: Path, is_gone: bool) -> None:
    """Refuses a project that was moved and has not run since: back in its place, its results would be in use again."""
    if is_gone and place.is_absolute() and not place.is_relative_to(paths.root):
        raise ConfigError(
            f"{paths.artifacts} cannot be cleaned up",
            got=f"results that were made in {place.parents[3]}",
            expected="a project where it was when it last ran",
            fix="move it back; or run it once here, and clean up then",
        )


def temporary_folders(artifacts: Path) -> list[Path]:
    """The temporary folders of steps; while none runs, those of killed runs."""
    return sorted(artifacts.glob("*/.system/executor_execution/*/.temp"))


def _needed(store: sqlite3.Connection, paths: Paths, runs: int) -> set[int]:
    """The artifacts of the last runs, and of those that pushed what is still in the push folder."""
    every = [number for (number,) in store.execute(_RUNS).fetchall()]
    trained = {run for (run,) in store.execute(_RUNS_WITH_MODEL)}
    # Failed runs, and those that ended before the training, do not displace a model.
    kept = {*every[:1], *[run for run in every if run in trained][:runs]}
    try:
        present = {str(version) for version in versions(paths.push)}
    except PublishError as error:
        raise TransomError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error
    for artifact, version in store.execute(_PUSHED).fetchall():
        if version in present:
            # An execution also belongs to the contexts of its step and of the pipeline.
            kept |= {run for (run,) in store.execute(_RUNS_OF_ARTIFACT, (artifact,))}.intersection(every)
    return {number for run in kept for (number,) in store.execute(_ARTIFACTS_OF_RUN, (run,))}


def remove(leftovers: Sequence[Leftover], paths: Paths) -> None:
    """Removes folders.

    Raises:
        OSError: a folder cannot be removed; those before it are gone.
    """
    numbers = [(one.artifact,) for one in leftovers if one.artifact is not None]
    if numbers:
        with metadata_check.open_store(paths) as store:
            store.execute("BEGIN EXCLUSIVE")
            store.executemany(f"UPDATE Artifact SET state = {metadata_check.DELETED} WHERE id = ?", numbers)
            store.execute("COMMIT")
            metadata_check.seal(paths)
    for one in leftovers:
        shutil.rmtree(one.folder)


def _size(folder: Path) -> int:
    """The bytes that a folder's files take."""
    places = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_blocks * 512 for path in places)
