"""`python -m serving.server FLAGS`."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from serving.errors import OptionsError
from serving.server.flags import parse, to_options, usage
from serving.server.front.ports import check_ports_free
from serving.server.options import ServerOptions
from serving.tensorflow_noise import filtered

if TYPE_CHECKING:
    from serving.server.calls.service_interface import Service
    from serving.server.processes.serving_process import MakeService

LOG = logging.getLogger("serving")

# TensorFlow's variable, and its value for all messages, which turns the filter off.
_LOG_LEVEL, _ALL = "TF_CPP_MIN_LOG_LEVEL", "0"

FAILED, REFUSED = 1, 2
"""Exit codes: an unexpected failure; unusable options."""


def main(arguments: Sequence[str], adapt: Callable[[ServerOptions], ServerOptions] | None = None) -> int:
    """Serves until a signal.

    Args:
        arguments: the flags.
        adapt: changes the options that the flags give.

    Returns:
        The exit code.
    """
    log_to_stderr()
    try:
        command_line = parse(arguments)
        if command_line["help"]:
            print(usage(command_line.given), end="")  # noqa: T201  the command line prints
            return 0
        if command_line["version"]:
            print(f"Transom ModelServer: {version('transom')}\nTensorFlow Library: {version('tensorflow')}")  # noqa: T201
            return 0
        options = to_options(command_line)
        for warning in command_line.warnings:
            LOG.warning(warning)
        with contextlib.nullcontext() if os.environ.get(_LOG_LEVEL) == _ALL else filtered():
            return serve(adapt(options) if adapt else options, make_model_service)
    except OptionsError as error:
        print(f"serving: {error}", file=sys.stderr)  # noqa: T201
        return REFUSED


def serve(options: ServerOptions, make_service: MakeService) -> int:
    """Runs a service in this process, or in `options.workers` others, until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a signal.

    Raises:
        OptionsError: the options cannot be used. A port in use is reported before any heavy import.
    """
    if options.workers == 1:
        check_ports_free(options)
        from serving.server.processes.serving_process import run

        return run(options, make_service)
    from serving.server.processes.supervisor import Supervisor

    return Supervisor(options, functools.partial(_run_worker, make_service)).run()


def make_model_service(options: ServerOptions) -> Service:
    """The service that runs TensorFlow, which is imported here."""
    os.environ.setdefault(_LOG_LEVEL, "2")  # else TensorFlow logs every request that fails
    from serving.server.front.server_metrics import PROCESS_METRICS
    from serving.server.model_service import ModelService

    return ModelService(options, on_run=PROCESS_METRICS.observe_run)


def _run_worker(make_service: MakeService, *arguments: object) -> int:
    # Imported in the worker: its imports must not run in the supervisor, which forks.
    from serving.server.processes.serving_process import run_worker

    return run_worker(make_service, *arguments)  # type: ignore[arg-type]  # of `worker_process.RunWorker`


def log_to_stderr() -> None:
    handler = _UnbreakableStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


class _UnbreakableStderr(logging.StreamHandler):  # type: ignore[type-arg]  # of whatever sys.stderr is
    """Logs to standard error, bypassing `filtered`'s process if that has been killed."""

    def __init__(self) -> None:
        super().__init__()
        self._unfiltered: int | None = None
        with contextlib.suppress(OSError):  # closed
            self._unfiltered = os.dup(2)

    def handleError(self, record: logging.LogRecord) -> None:
        if self._unfiltered is None or not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        os.dup2(self._unfiltered, 2)
        self._unfiltered = None
        self.emit(record)
