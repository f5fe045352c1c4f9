"""What is installed beside the interpreter that an environment variable names (standard library only)."""

from __future__ import annotations

import json
import re
import subprocess
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

_LIST = """
import importlib.metadata, json
print("\\n" + json.dumps({each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}))
"""


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
    missing = [name for name in required_packages(framework) if name not in found]
    if missing:
        got = f"{python}, which lacks " + ", ".join(missing) if found else f"{python}, which does not run as Python"
        raise TrainingError(
            f"training on {framework}",
            got=got,
            expected=f"an interpreter of Python with the packages of {requirements_file(framework)}",
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
    found = package_versions(given)
    return " ".join([str(given), *(f"{name}=={found.get(name)}" for name in required_packages(framework))])


def required_packages(framework: str) -> list[str]:
    """Normalized names of the packages that training on a framework needs."""
    lines = requirements_file(framework).read_text(encoding="utf-8").splitlines()
    return [_normalized(found[0]) for line in lines if (found := re.match(r"[A-Za-z0-9._-]+", line))]


@cache
def package_versions(python: Path) -> dict[str, str]:
    """The versions of all packages of an interpreter by normalized name; none if it is not a Python."""
    command = tied_to_parent([str(python), "-I", "-c", _LIST])
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return {}
    return {_normalized(name): version for name, version in found.items() if name}


def _normalized(name: str) -> str:
    """See the Python packaging specification, "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()
