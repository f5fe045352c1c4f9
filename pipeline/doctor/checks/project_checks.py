"""The project: its configuration, what `transom run` checks first, its lock, its records. Nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from models.errors import TransomError
from pipeline.doctor.finding import Check, Finding, Project, findings_of, from_error
from serving.errors import ServingError

_ERRORS = (TransomError, ServingError)
_CONFIGURATION = "configuration"
_PRESET = "preset"  # the part of the preflight that may download


def load_project(given: Path | None, overrides: list[str]) -> tuple[Project | None, Finding]:
    """The project of a command's arguments, if there is a valid one, and the finding about its configuration.

    Without an argument, a folder need not be a project's.
    """
    from pipeline.configuration.loading import load
    from pipeline.configuration.project_file import find_project_file
    from pipeline.paths import Paths

    try:
        file = find_project_file(given)
    except _ERRORS as error:
        if given is not None:
            return None, from_error(_CONFIGURATION, error)
        text = f"{error.what}: only the machine and the installation are examined"
        return None, Finding(_CONFIGURATION, "note", text, error.fix)
    try:
        config = load(file, overrides)
        project = Project(file, config, Paths.from_config(config, file))
    except _ERRORS as error:
        return None, from_error(_CONFIGURATION, error)
    return project, Finding(_CONFIGURATION, "ok", f"{file.absolute()} is valid")


def checks(project: Project) -> list[Check]:
    return [
        Check("before a run", lambda: preflight_parts(project)),
        Check("lock of runs", lambda: run_lock(project)),
        Check("metadata store", lambda: metadata_store(project)),
        Check("last run", lambda: last_run(project)),
    ]


def preflight_parts(project: Project) -> Iterator[Finding]:
    """What a run checks before its first step: all parts, where a run stops at the first that is wrong.

    A hub's preset is left to the run, which downloads it if its client has not done so already.
    """
    from pipeline import preflight

    good = []
    for name, check_part in preflight.parts(project.config, project.paths):
        try:
            if name == _PRESET and (hub := _hub(project)):
                text = f"{hub} is downloaded when a run first needs it"
                yield Finding(name, "note", text, "without a network: `transom presets` says how to get it elsewhere")
                continue
            check_part()
        except _ERRORS as error:
            yield from_error(name, error)
        except Exception as error:  # noqa: BLE001 (the other parts are still to be checked)
            yield from findings_of(Check(name, partial(_raise, error)))
        else:
            good.append(name)
    yield Finding("before a run", "ok", f"as it must be: {', '.join(good)}")


def _hub(project: Project) -> str:
    """The address of a preset that is on a hub; empty for one that is on this machine.

    Raises:
        PresetError: there is no such preset.
    """
    from models.presets.preset_files import resolve_preset
    from models.presets.preset_names import PACKAGED, hub_handle

    if project.config.model.type != "preset":
        return ""
    preset = resolve_preset(project.config.model.preset, project.paths.base)
    if preset in PACKAGED or Path(preset).expanduser().is_dir():
        return ""
    return "{}://{}".format(*hub_handle(preset))


def _raise(error: Exception) -> Iterator[Finding]:
    raise error


def run_lock(project: Project) -> Iterator[Finding]:
    """Whether a run is in progress; the file is only read, and locked for an instant."""
    from pipeline.runs.run_lock import is_held

    name, path = "lock of runs", project.paths.lock
    try:
        content = path.read_bytes()[:4096]
    except FileNotFoundError:
        yield Finding(name, "ok", "no run is in progress")
        return
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror or error}"
        yield Finding(name, "error", text, "change its permissions, or remove it if no run is in progress")
        return
    if is_held(path):
        try:
            holder = json.loads(content)
            who = f"run {holder['run']} (process {holder['pid']}, since {holder['since']})"
        except (ValueError, LookupError, TypeError):
            who = "a run"
        yield Finding(name, "note", f"{who} is in progress; the metadata store is not examined meanwhile")
    elif content and not content.startswith(b'{"run":'):
        yield Finding(
            name, "error", f"{path} is not Transom's lock", "move it away, or set `output:` to another folder"
        )
    else:
        yield Finding(name, "ok", "no run is in progress")


def metadata_store(project: Project) -> Iterator[Finding]:
    """TFX's records, as a run checks them."""
    from pipeline.runs.run_lock import is_held
    from pipeline.runs.store.metadata_check import find_incomplete

    name, paths = "metadata store", project.paths
    if is_held(paths.lock):
        return
    # SQLite would complete or undo what another program left unfinished, and that would change the files.
    unfinished = [file for file in paths.output.glob(f"{paths.metadata.name}-*") if file.stat().st_size]
    if unfinished:
        text = f"{unfinished[0]}: a program was killed while it wrote; the store is not examined"
        yield Finding(name, "note", text, "the next run undoes what was left unfinished, and then checks the store")
        return
    try:
        gone = find_incomplete(paths)
    except _ERRORS as error:
        yield from_error(name, error)
        return
    if gone:
        steps = ", ".join(sorted({step for _, step in gone}))
        results = "1 result" if len(gone) == 1 else f"{len(gone)} results"
        text = f"files of {results} are missing (of {steps})"
        yield Finding(name, "warn", text, "`transom run` makes them again; restore them to keep what they were")
    elif paths.metadata.exists():
        yield Finding(name, "ok", f"{paths.metadata} is whole, and so are the results that it names")
    else:
        yield Finding(name, "ok", "none yet: the first run makes it")


def last_run(project: Project) -> Iterator[Finding]:
    from pipeline.runs.run_records import all_runs

    runs = all_runs(project.paths)
    if not runs:
        yield Finding("last run", "ok", "there is none yet")
        return
    last = runs[-1]
    where = f" at {last.step}" if last.step else ""
    count = f", the last of {len(runs)} runs" if len(runs) > 1 else ""
    text = f"{last.name}: {last.status}{where}, {last.seconds:.0f} s{count}"
    if last.status in ("failed", "unreadable"):
        why = " ".join(last.error.split())[:300]
        yield Finding("last run", "note", f"{text}: {why}", f"read {project.paths.runs / last.name}")
    else:
        yield Finding("last run", "ok", text)
