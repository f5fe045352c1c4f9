"""What `transom backends` prints: the frameworks that train, and where each is. No TensorFlow."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.elsewhere.environments import (
    COSTS,
    FRAMEWORKS,
    environment,
    former_environments,
    given_interpreter,
    install_command,
    locked_version,
    python_variable,
)
from models.training.elsewhere.installed_packages import describe_damage, package_versions
from pipeline.terminal.columns import aligned
from tflite.host.json_text import to_json

TENSORFLOW = "tensorflow"


@dataclass(frozen=True)
class Backend:
    """A framework that trains.

    Attributes:
        version: of the installed one, or else what would be installed; empty if the given interpreter has none.
        state: for people.
        place: its environment's folder, or the given interpreter; None if it is not installed.
        size: bytes on disk; None if it is not in an environment of its own.
        damage: what its environment lacks; empty if nothing.
    """

    framework: str
    version: str
    state: str
    place: Path | None = None
    size: int | None = None
    is_installed: bool = True
    damage: str = ""


def print_backends(*, as_json: bool) -> None:
    """Prints a line per framework, as JSON one object per line.

    Raises:
        ConfigError: a variable names an interpreter that is not there.
    """
    found = [_tensorflow(), *map(_backend, FRAMEWORKS)]
    for line in map(_json_line, found) if as_json else _lines(found):
        print(line)


def _tensorflow() -> Backend:
    return Backend(TENSORFLOW, importlib.metadata.version(TENSORFLOW), "always there", Path(sys.prefix))


def _backend(framework: str) -> Backend:
    if given := given_interpreter(framework):
        name, version = python_variable(framework), package_versions(given).get(framework, "")
        state = f"named by {name}" if version else f"not in what {name} names"
        return Backend(framework, version, state, given, None, bool(version))
    own = environment(framework)
    if not own.version:
        return Backend(framework, locked_version(framework), "not installed", is_installed=False)
    damage = describe_damage(own)
    state = "damaged" if damage else "installed"
    return Backend(framework, own.version, state, own.folder, _size(own.folder), not damage, damage)


def _lines(found: list[Backend]) -> Iterator[str]:
    rows = [("framework", "version", "state", "size", "where")]
    for one in found:
        size = "" if one.size is None else _megabytes(one.size)
        where = str(one.place)
        if one.place is None:
            where = f"to install: {install_command(one.framework)}   ({COSTS[one.framework]})"
        rows.append((one.framework, one.version, one.state, size, where))
    yield from aligned(rows)
    for one in (each for each in found if each.damage):
        yield ""
        yield f"{one.framework}: {one.damage}; `{install_command(one.framework)}` makes its environment anew"
    for framework in FRAMEWORKS:
        former = former_environments(framework)
        if former:
            size = _megabytes(sum(_size(each.folder) for each in former))
            yield ""
            yield f"{framework} for other versions of Transom, {size}: `transom backends remove {framework} --former`"
            yield from (f"  {each.folder}" for each in former)


def _json_line(one: Backend) -> str:
    values = {
        "framework": one.framework,
        "installed": one.is_installed,
        "version": one.version or None,
        "state": one.state,
        "where": None if one.place is None else str(one.place),
        "bytes": one.size,
        "damage": one.damage or None,
    }
    if one.framework in FRAMEWORKS:
        values["install"] = install_command(one.framework)
        values["former"] = [str(each.folder) for each in former_environments(one.framework)]
    return to_json(values)


def _size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(
        os.lstat(os.path.join(path, name)).st_blocks * 512 for path, _, files in os.walk(folder) for name in files
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
