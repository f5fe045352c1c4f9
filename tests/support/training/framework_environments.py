"""The interpreters of other frameworks: in the product's own environments, kept between runs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import isolated
import pytest

from models.training.elsewhere.environments import (
    FOLDER_VARIABLE,
    environment,
    install_command,
    interpreter,
    python_variable,
)


def python(framework: str) -> Path:
    """The interpreter that trains on a framework: one that this machine has, or else one made in `.environments`.

    JAX is installed if it is missing. PyTorch is not, because it takes 6 GB: without it the test is skipped.

    Raises:
        AssertionError: it cannot be installed, although the registry can be reached.
    """
    if found := interpreter(framework):
        return found
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(isolated.FOLDER))
        own = environment(framework)
        if not own.version and framework == "torch":
            pytest.skip(
                f"needs PyTorch: `{install_command(framework)}`, or its interpreter in {python_variable(framework)}"
            )
        if not own.version:
            _install(framework)
    return own.python


def _install(framework: str) -> None:
    isolated.FOLDER.mkdir(exist_ok=True)
    with (isolated.FOLDER / f"{framework}.busy").open("w") as held:  # other test processes wait
        fcntl.flock(held, fcntl.LOCK_EX)
        for arguments in (["remove", framework, "--former"], ["install", framework]):
            command = [sys.executable, "-m", "pipeline.cli", "backends", *arguments]
            done = subprocess.run(
                command,
                cwd=isolated.REPOSITORY,
                env=os.environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
            if "a package index that answers" in done.stderr:
                pytest.skip(f"{framework} cannot be installed without a package registry: {done.stderr[-300:]}")
            assert done.returncode == 0, done.stderr
