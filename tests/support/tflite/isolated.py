"""Isolated environments for packages that conflict with the project's: made from hashed locks, kept between runs.

A lock is `tests/environments/NAME.lock`, written by `make lock`. Its environment is in `.environments/`, named by the
lock's hash, so that a changed lock makes a new environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LOCKS = REPOSITORY / "tests" / "environments"
FOLDER = REPOSITORY / ".environments"
# uv's messages if the registry cannot be reached. A package with a wrong hash is a failure.
_OFFLINE = ("dns error", "error sending request", "Failed to fetch", "connection refused", "Connection refused")


def python(name: str) -> Path:
    """The interpreter of an environment, which is made if missing.

    Skips the test if the registry cannot be reached.

    Raises:
        AssertionError: it cannot be made for another reason, such as a wrong hash.
    """
    lock = LOCKS / f"{name}.lock"
    folder = FOLDER / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    ready = folder / ".ready"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.busy").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not ready.exists():
            for old in FOLDER.glob(f"{name}-*"):
                shutil.rmtree(old)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
            uv = [Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--no-config"]
            given = ["--python", folder / "bin" / "python", "--require-hashes", "--no-deps", "-r", lock]
            done = subprocess.run([*uv, *given], capture_output=True, text=True, check=False, timeout=600)
            if done.returncode and any(sign in done.stderr for sign in _OFFLINE):
                pytest.skip(f"environment {name} cannot be made without a package registry: {done.stderr[-300:]}")
            assert done.returncode == 0, done.stderr
            ready.touch()
    return folder / "bin" / "python"


def run(environment: str | Path, arguments: Sequence[str | Path], *, given: str = "", path: Sequence[Path] = ()) -> str:
    """Runs an environment's interpreter, without this process's environment variables; its output.

    Args:
        environment: its name, or an interpreter.
        arguments: of the interpreter.
        given: its standard input.
        path: additional folders to import from.
    """
    FOLDER.mkdir(exist_ok=True)
    kept = {key: os.environ[key] for key in ("HOME", "LANG", "PATH") if key in os.environ}
    variables = {**kept, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [environment if isinstance(environment, Path) else python(environment), *arguments],
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=variables,
        cwd=FOLDER,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
