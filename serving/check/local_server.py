"""Runs the real server as a child process with one model and free ports, for the gate, tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

from models.child_processes import tie_forked, tied_to_parent
from serving.client import Client, ClientError
from serving.errors import ServingError

_HOST = "127.0.0.1"
_TRIES = 3
_TERMINATION_SECONDS = 10.0  # for requests in flight
_PORT_TAKEN = 2  # the server's exit code for invalid options, such as a port taken by another process


@dataclass(frozen=True)
class LocalServer:
    """The server's URLs, the served model, the process id, and the log file."""

    grpc: str
    rest: str
    model: str
    pid: int
    log: Path


@contextlib.contextmanager
def local_server(
    folder: Path,
    *,
    model: str = "model",
    flags: Sequence[str] = (),
    seconds: float = 120.0,
    forked: bool = False,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[LocalServer]:
    """Serves a SavedModel folder (one version) until the block ends.

    Args:
        folder: the version; it is served as version 1.
        model: the served name.
        flags: additional flags of `python -m serving.server`.
        seconds: time limit until the model is available.
        forked: whether to fork this process, in which TensorFlow must not have computed anything: a few seconds less,
            if it is imported here.
        meanwhile: called once the process has begun.

    Raises:
        ServingError: the server ended, or the model did not become available; with the end of the log.
    """
    with tempfile.TemporaryDirectory(prefix="transom-serving-") as temporary:
        base, log = Path(temporary, "models"), Path(temporary, "server.log")
        base.mkdir()
        (base / "1").symlink_to(folder.resolve(), target_is_directory=True)
        flags = [f"--model_base_path={base}", f"--model_name={model}", *flags]
        with _started(log, model, flags, time.monotonic() + seconds, forked, meanwhile) as server:
            yield server


@contextlib.contextmanager
def _started(
    log: Path, model: str, flags: Sequence[str], deadline: float, forked: bool, meanwhile: Callable[[], object]
) -> Iterator[LocalServer]:
    for attempt in range(1, _TRIES + 1):
        first = attempt == 1  # later, `meanwhile` may have begun to compute, and nothing can be forked any more
        with _process(log, model, flags, forked and first) as (process, server):
            problem: str | None = "interrupted"
            try:
                if first:
                    meanwhile()
                problem = _wait(process, server, deadline)
            finally:
                if problem is not None:
                    process.kill()  # it has no work to finish
            if problem is None:
                yield server
                return
        if process.returncode != _PORT_TAKEN or attempt == _TRIES:
            raise ServingError("the server did not serve the model", got=f"{problem}; its log ends with:\n{_tail(log)}")


@contextlib.contextmanager
def _process(log: Path, model: str, flags: Sequence[str], forked: bool) -> Iterator[tuple[_Process, LocalServer]]:
    """Starts the process and ends it with the block, also after an exception at startup, such as a signal's."""
    grpc, rest = _free_ports(2)
    flags = [f"--host={_HOST}", f"--port={grpc}", f"--rest_api_port={rest}", "--max_num_load_retries=0", *flags]
    process: _Process
    if forked:
        process = _ForkedServer(flags, log)
    else:
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied_to_parent([sys.executable, "-m", "serving.server", *flags]),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
    try:
        yield process, LocalServer(f"grpc://{_HOST}:{grpc}", f"http://{_HOST}:{rest}", model, process.pid, log)
    finally:
        _end(process)


class _ForkedServer(ForkProcess):
    """The server in a fork of this process, with the methods of `subprocess.Popen`."""

    pid: int

    def __init__(self, flags: Sequence[str], log: Path) -> None:
        super().__init__(name="server", daemon=True)
        self._flags, self._log, self._starter = flags, log, os.getpid()
        self.start()

    def run(self) -> None:
        tie_forked(self._starter)
        with self._log.open("wb") as output, open(os.devnull, "rb") as nothing:
            for stream, number in ((nothing, 0), (output, 1), (output, 2)):
                os.dup2(stream.fileno(), number)
        from serving.server.main import main

        code = main(self._flags)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without this process's exit handlers, which are the parent's

    @property
    def returncode(self) -> int | None:
        return self.exitcode

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.join(timeout)
        if self.exitcode is None:
            raise subprocess.TimeoutExpired(["serving.server"], timeout or 0.0)
        return self.exitcode


_Process = subprocess.Popen[bytes] | _ForkedServer


def _end(process: _Process) -> None:
    """Terminates the process, then kills it, even if a second signal to this process interrupts the wait."""
    try:
        process.terminate()
        process.wait(_TERMINATION_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def _wait(process: _Process, server: LocalServer, deadline: float) -> str | None:
    """Waits until the model is available and returns None, or why it never will be."""
    with Client(server.grpc, server.model, retries=0, timeout=2.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with exit code {process.returncode}"
            try:
                (version,) = client.status()
            except (ClientError, ValueError):  # not started yet, or no version known yet
                time.sleep(0.05)
                continue
            if version.state == "AVAILABLE":
                return None
            if version.state == "END":
                return f"loading failed: {version.error}"
            time.sleep(0.05)
    return "it took too long"


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; another process may still take one before the server."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _python_path() -> str:
    """A PYTHONPATH with which the child finds the same package as this process."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def _tail(log: Path, lines: int = 12) -> str:
    # A forked server that was killed at once has not opened it yet.
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
