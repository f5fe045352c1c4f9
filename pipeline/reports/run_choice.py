"""The run that an argument names: its name, the beginning of it, "last", or its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigError
from pipeline.commands.arguments import LAST
from pipeline.paths import Paths
from pipeline.runs.run_records import FILE_NAME, UNCHANGED, RunRecord, all_runs, read_record


def find_run(
    given: str, project: Path | None, overrides: Sequence[str] = (), *, measured: bool = False
) -> tuple[RunRecord, Path]:
    """The record and the folder of a run.

    Args:
        given: a run's name or the beginning of one, "last", or the path of a run's folder or of its run.json.
        project: the configuration file or its folder; not read if `given` is a path.
        overrides: keys of the configuration with values, as for `--set`.
        measured: "last" is the last run that measured a model, if there is one.

    Raises:
        ConfigError: there is no such run, there are several, or its record cannot be read.
    """
    path = Path(given)
    folder = path.parent if path.name == FILE_NAME else path
    if (folder / FILE_NAME).is_file():
        return _readable(folder)
    # The runs of a project whose configuration has become invalid can still be named by their folders.
    paths = _paths(project, overrides)
    recorded = all_runs(paths)
    runs, names = paths.runs, [run.name for run in recorded]
    if not names:
        raise ConfigError(f"a run in {runs}", got="no runs", expected="a run", fix="`transom run` starts the first")
    latest = [run.name for run in recorded if _is_latest(run, measured)] or names
    found = latest[-1:] if given == LAST else [name for name in names if name == given]
    found = found or [name for name in names if name.startswith(given)]
    if len(found) != 1:
        listed = found or names
        shown = ", ".join(listed[-6:])
        raise ConfigError(
            f"the run {given!r}",
            got=f"{len(found)} runs: {shown}" if found else "no such run",
            expected=f"one of {shown}, {LAST!r}, or a run's folder",
            fix="`transom runs` lists all",
        )
    # As `all_runs` knows it: a run whose process was killed is not running.
    return _checked(next(run for run in recorded if run.name == found[0])), runs / found[0]


def _is_latest(run: RunRecord, measured: bool) -> bool:
    """Whether "last" may mean this run: not one that did nothing, and measured nothing, such as that of a profile."""
    return bool(run.rows) or not (measured or run.debug or (run.status == UNCHANGED and not run.evaluation))


def _paths(project: Path | None, overrides: Sequence[str]) -> Paths:
    from pipeline.configuration.loading import load
    from pipeline.configuration.project_file import find_project_file

    file = find_project_file(project)
    return Paths.from_config(load(file, list(overrides)), file)


def _readable(folder: Path) -> tuple[RunRecord, Path]:
    return _checked(read_record(folder.parent, folder.name)), folder


def _checked(record: RunRecord) -> RunRecord:
    if record.status == "unreadable":
        raise ConfigError(f"the run {record.name}", got=record.error, expected="a run's record of this version")
    return record
