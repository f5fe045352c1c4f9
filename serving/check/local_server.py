"""The real server as a child process, on one model and on ports of its own: for the gate, tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.child_processes import tied_to_parent
from serving.client import Client, ClientError
from serving.errors import ServingError

_HOST = "127.0.0.1"
_TRIES = 3
_PATIENCE_S = 10.0  # for requests in flight
_PORT_TAKEN = 2  # the server's exit code for options that it cannot use; another process may have taken a port


@dataclass(frozen=True)
class LocalServer:
    """Where it listens, who it is, and the file that holds what it says."""

    grpc: str
    rest: str
    model: str
    pid: int
    log: Path


@contextlib.contextmanager
def local_server(
    folder: Path, *, model: str = "model", flags: Sequence[str] = (), seconds: float = 120.0
) -> Iterator[LocalServer]:
    """Serves a SavedModel's folder (one version) until the block ends.

    Args:
        folder: the version; it is served as version 1.
        model: the served name.
        flags: more of `python -m serving.server`'s.
        seconds: how long it may take until the model is available.

    Raises:
        ServingError: the server ended, or the model did not become available; with what the server said.
    """
    with tempfile.TemporaryDirectory(prefix="transom-serving-") as temporary:
        base, log = Path(temporary, "models"), Path(temporary, "server.log")
        base.mkdir()
        (base / "1").symlink_to(folder.resolve(), target_is_directory=True)
        with _started(base, log, model, flags, time.monotonic() + seconds) as server:
            yield server


@contextlib.contextmanager
def _started(base: Path, log: Path, model: str, flags: Sequence[str], deadline: float) -> Iterator[LocalServer]:
    for attempt in range(1, _TRIES + 1):
        with _process(base, log, model, flags) as (process, server):
            said: str | None = "interrupted"
            try:
                said = _wait(process, server, deadline)
            finally:
                if said is not None:
                    process.kill()  # it has nothing to finish
            if said is None:
                yield server
                return
        if process.returncode != _PORT_TAKEN or attempt == _TRIES:
            raise ServingError("the server did not serve the model", got=f"{said}; it said:\n{_tail(log)}")


@contextlib.contextmanager
def _process(
    base: Path, log: Path, model: str, flags: Sequence[str]
) -> Iterator[tuple[subprocess.Popen[bytes], LocalServer]]:
    """The process, which is ended with the block: by an exception while it starts, too, such as that of a signal."""
    grpc, rest = _free_ports(2)
    own = [f"--host={_HOST}", f"--port={grpc}", f"--rest_api_port={rest}", f"--model_name={model}"]
    own += [f"--model_base_path={base}", "--max_num_load_retries=0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            tied_to_parent([sys.executable, "-m", "serving.server", *own, *flags]),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
    try:
        yield process, LocalServer(f"grpc://{_HOST}:{grpc}", f"http://{_HOST}:{rest}", model, process.pid, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, then kills it: an impatient second signal to us comes while we wait."""
    try:
        process.terminate()
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], server: LocalServer, deadline: float) -> str | None:
    """None as soon as the model is available, else why it never will be."""
    with Client(server.grpc, server.model, retries=0, timeout=2.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with exit code {process.returncode}"
            try:
                (version,) = client.status()
            except (ClientError, ValueError):  # not up yet, or no version known yet
                time.sleep(0.05)
                continue
            if version.state == "AVAILABLE":
                return None
            if version.state == "END":
                return f"loading failed: {version.error}"
            time.sleep(0.05)
    return "it took too long"


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; another process may take them before the server does."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _python_path() -> str:
    """Lets the child find this very package, wherever this process found it."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
