"""Where the other frameworks are: each in an environment of its own, with its own NumPy (standard library only).

BACKENDS/
  jax-0123456789ab-py3.11/    a virtual environment; first digits of its lock's SHA-256, and the version of Python
    .ready                    written last, so that an interrupted installation does not count; the framework's version

BACKENDS is $TRANSOM_BACKENDS, or transom/backends in the user's cache. A new lock makes a new environment and leaves
the former one to the trainings that use it. `pipeline/backends` makes and removes them.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError, TrainingError

FRAMEWORKS = ("jax", "torch")
FOLDER_VARIABLE = "TRANSOM_BACKENDS"
READY = ".ready"
COSTS = {
    "jax": "0.2 GB to download, 0.9 GB on disk",
    "torch": "3 GB to download, 6 GB on disk, most of it NVIDIA's libraries",
}
"""What an environment takes on Linux (x86-64), where PyPI's PyTorch has CUDA and its JAX has not."""

_PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Environment:
    """An environment in the folder of backends, finished or not, of this lock or of another.

    Attributes:
        version: of the framework; empty if the environment is not ready.
    """

    folder: Path
    version: str

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


def lock_file(framework: str) -> Path:
    """The hashed lock of a framework's environment."""
    return Path(__file__).with_name("locks") / f"{framework}.lock"


def requirements_file(framework: str) -> Path:
    """What the lock was made from: the packages that training needs, as pip's requirements."""
    return lock_file(framework).with_suffix(".in")


def lock_digest(framework: str) -> str:
    """SHA-256 of a framework's lock, 64 hexadecimal digits."""
    return hashlib.sha256(lock_file(framework).read_bytes()).hexdigest()


def locked_version(framework: str) -> str:
    """The framework's version in its lock, for this version of Python."""
    text = lock_file(framework).read_text(encoding="utf-8")
    found = re.search(rf"^{framework}==([^\s;]+)", text, re.MULTILINE)  # the versions for newer Pythons follow
    assert found is not None, f"{framework} is not in its lock"
    return found[1]


def backends_folder() -> Path:
    """The folder of all environments.

    Raises:
        ConfigError: no variable names it, and this user has no home folder.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(os.path.abspath(os.path.expanduser(given)))
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.abspath(cache)) / "transom" / "backends"
    try:
        return Path.home() / ".cache" / "transom" / "backends"
    except RuntimeError:
        raise ConfigError(
            "the folder of backends",
            got="a user without a home folder",
            fix=f"set {FOLDER_VARIABLE} to the folder, for example /opt/backends",
        ) from None


def environment_folder(framework: str) -> Path:
    """Where the environment of the framework's present lock is, or would be."""
    return backends_folder() / f"{framework}-{lock_digest(framework)[:12]}-{_PYTHON}"


def environment(framework: str) -> Environment:
    """The environment of the framework's present lock, ready or not."""
    return _read(environment_folder(framework))


def former_environments(framework: str) -> list[Environment]:
    """The environments of other locks and other versions of Python, ready or not."""
    name, present = re.compile(rf"{framework}-[0-9a-f]{{12}}-py\d+\.\d+"), environment_folder(framework)
    try:
        folders = [folder for folder in present.parent.iterdir() if name.fullmatch(folder.name) and folder != present]
    except OSError:  # there is no folder yet, or it may not be read
        return []
    return [_read(folder) for folder in sorted(folders)]


def python_variable(framework: str) -> str:
    """The environment variable that names an interpreter with the framework: a machine's own build, say for its GPU."""
    return f"TRANSOM_{framework.upper()}_PYTHON"


def given_interpreter(framework: str) -> Path | None:
    """The interpreter that the environment variable names; None if it is not set.

    Raises:
        ConfigError: there is no such program.
    """
    name = python_variable(framework)
    if not (given := os.environ.get(name)):
        return None
    path = Path(os.path.abspath(os.path.expanduser(given)))  # not resolved: a link leads out of its environment
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ConfigError(
            name,
            got=f"{path}, which is {'not executable' if path.exists() else 'not there'}",
            expected=f"the Python interpreter of an environment with {framework}",
            fix=f"correct it, or unset it and run `{install_command(framework)}`",
        )
    return path


def interpreter(framework: str) -> Path | None:
    """The interpreter that trains on a framework: the given one, or that of its environment; None if there is none.

    Raises:
        ConfigError: the environment variable names no program.
    """
    if given := given_interpreter(framework):
        return given
    own = environment(framework)
    return own.python if own.version else None


def require_interpreter(framework: str) -> Path:
    """The interpreter that trains on a framework.

    Raises:
        TrainingError: there is none.
        ConfigError: the environment variable names no program.
    """
    if found := interpreter(framework):
        return found
    raise TrainingError(
        f"train.backend is {framework}",
        got=f"no environment with {framework} {locked_version(framework)} in {backends_folder()}",
        expected=f"one, or an interpreter that {python_variable(framework)} names",
        fix=f"`{install_command(framework)}` makes one ({COSTS[framework]})",
    )


def install_command(framework: str) -> str:
    return f"transom backends install {framework}"


def _read(folder: Path) -> Environment:
    """An environment is ready if its installation was finished and its interpreter is still there."""
    found = Environment(folder, "")
    try:
        version = (folder / READY).read_text(encoding="utf-8").strip()
    except OSError:
        return found
    return Environment(folder, version) if os.access(found.python, os.X_OK) else found
