"""`transom tensorboard`: TensorBoard on a project's training curves."""

from __future__ import annotations

import contextlib
import runpy
import sys
import types
from pathlib import Path

from models.errors import ConfigError, TransomError
from serving.tensorflow_noise import filtered

LARGEST_PORT = 65535


def show(logs: Path, port: int, *, verbose: bool) -> int:
    """Runs TensorBoard in this process until it is interrupted; returns the exit code.

    Raises:
        TransomError: no run has trained yet, or there is no such port.
    """
    if not 0 <= port <= LARGEST_PORT:
        raise ConfigError("--port", got=str(port), expected=f"0 to {LARGEST_PORT} (0: any that is free)")
    if not logs.is_dir():
        raise TransomError(
            f"training curves in {logs}",
            got="no such folder",
            expected="a run that came as far as the Trainer",
            fix="`transom run` makes one; `transom runs` tells how far the earlier ones came",
        )
    # TensorBoard's own switch: it then reads files without importing TensorFlow, and starts at once.
    sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
    # Both are its defaults, said outright: it comments on them otherwise.
    sys.argv = ["tensorboard", f"--logdir={logs}", f"--port={port}", "--host=localhost", "--load_fast=false"]
    try:
        with contextlib.nullcontext() if verbose else filtered():
            runpy.run_module("tensorboard.main", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:  # how it is meant to be ended
        return 0
    return 0
