"""What is installed beside an interpreter, and whether it is still whole (standard library only)."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from models.child_processes import tied_to_parent
from models.errors import TrainingError
from models.training.elsewhere.environments import (
    Environment,
    environment,
    given_interpreter,
    install_command,
    lock_digest,
    python_variable,
    require_interpreter,
    requirements_file,
)

# The first distribution of a name is the one that is imported.
_LIST = """
import importlib.metadata, json, sys
found = [(each.metadata["Name"], each.version) for each in importlib.metadata.distributions()]
print("\\n" + json.dumps([("python", "%d.%d" % sys.version_info[:2]), *found]))
"""
_SECONDS = 120
_NEEDED = (".py", ".so")  # to import a package; the name of a library may end with its version


def check_backend(framework: str) -> None:
    """Checks that there is an interpreter to train with, and that it has the packages.

    Raises:
        TrainingError: there is none, or it lacks packages or files.
        ConfigError: the environment variable names no program.
    """
    python = require_interpreter(framework)
    if given_interpreter(framework) is None:
        if damage := describe_damage(environment(framework)):
            raise TrainingError(
                f"train.backend is {framework}",
                got=f"a damaged environment: {damage}",
                expected="all that was installed there",
                fix=f"`{install_command(framework)}` makes it anew",
            )
        return
    found = package_versions(python)
    lacks = [
        f"{name} {wanted}".strip() + (f" (it has {found[name]})" if name in found else "")
        for name, wanted in required_packages(framework).items()
        if name not in found or wanted not in ("", found[name])
    ]
    if lacks:
        got = f"{python}, which lacks " + ", ".join(lacks) if found else f"{python}, which does not answer as Python"
        raise TrainingError(
            f"train.backend is {framework}",
            got=got,
            expected=f"an interpreter with the packages of {requirements_file(framework)}",
            fix=f"install them there, or unset {python_variable(framework)} and run `{install_command(framework)}`",
        )


def environment_key(framework: str) -> str:
    """What decides the versions with which a framework trains: a given interpreter and its packages, or the lock.

    Raises:
        ConfigError: the environment variable names no program.
    """
    given = given_interpreter(framework)
    if given is None:
        return lock_digest(framework)
    versions = "\n".join(f"{name}=={version}" for name, version in sorted(package_versions(given).items()))
    return f"{given} {hashlib.sha256(versions.encode()).hexdigest()}"


def required_packages(framework: str) -> dict[str, str]:
    """Python and the packages that training on a framework needs, by normalized name: the version, or "" if any will
    do."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for line in requirements_file(framework).read_text(encoding="utf-8").splitlines():
        if name := re.match(r"[A-Za-z0-9._-]+", line):
            found[_normalized(name[0])] = line.partition("==")[2].strip()
    return found


@cache
def package_versions(python: Path) -> dict[str, str]:
    """The versions of Python and of all packages of an interpreter, by normalized name; none if it does not answer."""
    command = tied_to_parent([str(python), "-I", "-c", _LIST])
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=_SECONDS)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return {}
    versions: dict[str, str] = {}
    for name, version in found:
        versions.setdefault(_normalized(name or ""), version)
    return versions


def describe_damage(found: Environment) -> str:
    """What an environment that was ready lacks, for people; empty if it is whole.

    Every distribution lists its files with their sizes (Python packaging specification, "Recording installed
    projects"). Their contents are not read: what damages an environment, a full disk, a tidied cache or an interrupted
    copy, leaves files short or missing.
    """
    if not package_versions(found.python):
        return f"{found.python} does not answer as Python"
    bad = [path for folder in found.folder.glob("lib/python*/site-packages") for path in damaged_files(folder)]
    if not bad:
        return ""
    others = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
    return f"{bad[0]}{others}, missing or not as long as when it was installed"


def damaged_files(folder: Path) -> list[str]:
    """The files of a folder's distributions that are missing or have another size, and lists that cannot be read."""
    bad = []
    for distribution in sorted(folder.glob("*.dist-info")):
        record = distribution / "RECORD"
        try:
            with record.open(encoding="utf-8", newline="") as table:
                sizes = {path: size for path, _, size in csv.reader(table)}
            needed = {path: int(size) for path, size in sizes.items() if size and _is_needed(path)}
        except (OSError, ValueError, csv.Error):
            sizes = {}
        if not sizes:  # the list itself is damaged
            bad.append(str(record))
            continue
        bad += [os.path.normpath(folder / path) for path, size in needed.items() if not _has_size(folder / path, size)]
    return bad


def _is_needed(path: str) -> bool:
    return path.endswith(_NEEDED) or ".so." in path


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _normalized(name: str) -> str:
    """See the Python packaging specification, "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()
