"""Runs the real server of any checkout as a child process with limited memory and descriptors, and observes it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.child_processes import tied_to_parent

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent.parent
MEMORY_KIB, DESCRIPTORS = 8 * 2**20, 400
RUN_SECONDS = 5.0
"""The server's limit for a run, for runs that would go on forever."""
_START_S = 180.0
_MODELS_KIB = 200 * 1024


@dataclass
class SiegeServer:
    """A running server; `port` speaks gRPC, `rest_port` REST.

    Attributes:
        folder: of the models and the configuration.
        workers: 1 is a single process without a supervisor.
    """

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    folder: Path
    log: Path
    workers: int = 1
    flags: tuple[str, ...] = field(default=())

    @property
    def pid(self) -> int:
        return self.process.pid

    def pids(self) -> tuple[int, ...]:
        """The process and its children, in order."""
        return (self.pid, *sorted(children(self.pid)))

    def worker_pids(self) -> tuple[int, ...]:
        """The processes that hold models (one of the others writes the log)."""
        return tuple(pid for pid in self.pids() if _status(pid, "VmRSS") > _MODELS_KIB)

    def alive(self) -> bool:
        return self.process.poll() is None

    def memory(self) -> float:
        """MiB of all its processes (VmRSS)."""
        return sum(_status(pid, "VmRSS") for pid in self.pids()) / 1024

    def peak(self) -> float:
        """The peak MiB of one of its processes since `reset_peak`."""
        return max([_status(pid, "VmHWM") for pid in self.pids()], default=0) / 1024

    def reset_peak(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        """CPU seconds of its processes."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in self.pids() if _stat(pid)) / ticks

    def log_size(self) -> int:
        return self.log.stat().st_size


@contextlib.contextmanager
def start_server(
    config: Path, log: Path, *, workers: int = 1, tree: Path = ROOT, flags: Sequence[str] = (), limited: bool = True
) -> Iterator[SiegeServer]:
    """Starts a checkout's server on a `ModelServerConfig` file, waits for all workers, and ends it after the block."""
    port, rest_port = free_ports(2)
    monitoring = log.with_suffix(".monitoring")
    monitoring.write_text("prometheus_config { enable: true }")
    own = [f"--host={HOST}", f"--port={port}", f"--rest_api_port={rest_port}", f"--model_config_file={config}"]
    own += ["--enable_grpc_healthcheck_service", "--enable_grpc_reflection", "--max_num_load_retries=0"]
    own += [f"--monitoring_config_file={monitoring}", f"--workers={workers}", "--drain_seconds=2"]
    if any((tree / "serving" / "server").rglob("run_*limit.py")):  # older checkouts do not know the flag
        own.append(f"--max_run_seconds={RUN_SECONDS}")
    own += flags
    limits = f"ulimit -v {MEMORY_KIB}; ulimit -n {DESCRIPTORS}; " if limited else ""
    command = tied_to_parent(
        ["/bin/sh", "-c", f'{limits}exec "$@"', "sh", sys.executable, "-m", "serving.server", *own]
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
    server = SiegeServer(process, port, rest_port, config.parent, log, workers, tuple(flags))
    try:
        _wait(server)
        yield server
    finally:
        kill(server)


def kill(server: SiegeServer) -> None:
    """Kills the server's processes."""
    for pid in reversed(server.pids()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are currently free."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def children(pid: int) -> list[int]:
    """The running child processes of a process."""
    pids = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))) and int(stat[1]) == pid and stat[0] != "Z":
            pids.append(int(path.name))
    return pids


def _wait(server: SiegeServer) -> None:
    deadline = time.monotonic() + _START_S
    ready = 0
    while ready < server.workers or not _answers(server):
        if not server.alive() or time.monotonic() > deadline:
            log = server.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"the server did not start; its log ends with:\n{log}")
        time.sleep(0.1)
        ready = server.log.read_text(errors="replace").count("; ready after")


def _answers(server: SiegeServer) -> bool:
    scheme = "https" if any("ssl" in flag for flag in server.flags) else "http"
    if scheme == "https":
        return True
    try:
        with urllib.request.urlopen(f"{scheme}://{HOST}:{server.rest_port}/v1/models/any", timeout=5):
            return True
    except urllib.error.HTTPError:  # no such model
        return True
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int, name: str) -> int:
    """A field of /proc/PID/status in KiB; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
