"""`transom tensorboard`: runs TensorBoard on a project's training curves."""

from __future__ import annotations

import argparse
import contextlib
import runpy
import sys
import types
from pathlib import Path

from models.errors import ConfigError, TransomError
from pipeline.commands.arguments import Commands, add_command, add_config, project_paths

LARGEST_PORT = 65535
PORT = 6006


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "tensorboard",
        tensorboard,
        "open the training curves",
        "Starts TensorBoard on the training curves of the project's runs, for this machine only, until Ctrl-C.",
        """
        transom tensorboard                            then open http://localhost:6006 in a browser
        transom tensorboard reviews/ --port 6007       another project, alongside the first
        """,
    )
    add_config(parser)
    parser.add_argument("--port", type=int, default=PORT, help="port on localhost (default: %(default)s)")


def tensorboard(options: argparse.Namespace) -> int:
    logs = project_paths(options).artifacts / "Trainer" / "model_run"
    return run_tensorboard(logs, options.port, verbose=options.verbose)


def run_tensorboard(logs: Path, port: int, *, verbose: bool) -> int:
    """Runs TensorBoard in this process until it is interrupted; returns the exit code.

    Raises:
        TransomError: no run has trained yet, or there is no such port.
    """
    from serving.tensorflow_noise import filtered

    if not 0 <= port <= LARGEST_PORT:
        raise ConfigError("--port", got=str(port), expected=f"0 to {LARGEST_PORT} (0: any free port)")
    if not logs.is_dir():
        raise TransomError(
            f"training curves in {logs}",
            got="no such folder",
            expected="a run that got as far as the Trainer",
            fix="train a model with `transom run`; `transom runs` shows how far the earlier runs got",
        )
    # TensorBoard's own switch: it then reads files without importing TensorFlow, and starts at once.
    sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
    # The last two are its defaults; given explicitly, they spare its comments on them.
    sys.argv = ["tensorboard", f"--logdir={logs}", f"--port={port}", "--host=localhost", "--load_fast=false"]
    try:
        with contextlib.nullcontext() if verbose else filtered():
            runpy.run_module("tensorboard.main", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:  # the usual way to end it
        return 0
    return 0
