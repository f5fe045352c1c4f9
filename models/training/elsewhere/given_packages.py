"""What is installed beside the interpreter that an environment variable names (standard library only)."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from models.child_processes import tied_to_parent
from models.errors import TrainingError
from models.training.elsewhere.environments import (
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


def check_backend(framework: str) -> None:
    """Checks that there is an interpreter to train with, and that a given one has the packages.

    Raises:
        TrainingError: there is none, or it lacks packages.
        ConfigError: the environment variable names no program.
    """
    python = require_interpreter(framework)
    if given_interpreter(framework) is None:
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
            f"training on {framework}",
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


def _normalized(name: str) -> str:
    """See the Python packaging specification, "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()
