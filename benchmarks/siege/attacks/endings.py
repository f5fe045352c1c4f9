"""How a server ends: on signals during runs, without its supervisor; and how it handles bad TLS."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.siege.attacks.secured import expired_certificate, stalled_handshakes
from benchmarks.siege.models import SPEED_OF_LIGHT
from benchmarks.siege.server import SiegeServer, start_server
from benchmarks.siege.target import AttackTarget, open_connections
from benchmarks.siege.wire import PREDICT, PREFACE, settings, steps_request

DRAIN_S, MORE_S = 2.0, 5.0
Ending = Callable[[Path, Path, Path], list[str]]

ENDINGS: dict[str, Ending] = {}
"""Name to a function of the configuration, a folder and the checkout, which returns the failures."""


def _stopped(workers: int, which: signal.Signals, prepare: Callable[[AttackTarget], object]) -> Ending:
    def ending(config: Path, folder: Path, tree: Path) -> list[str]:
        log = folder / f"ending-{workers}-{which.name}.log"
        with start_server(config, log, workers=workers, tree=tree) as server:
            held = prepare(AttackTarget(server))
            time.sleep(1.5)
            pids = server.pids()
            os.kill(server.pid, which)
            problems = _ended_in_time(server, pids)
            del held
        if "Traceback" in (text := log.read_text(errors="replace")):
            problems.append(f"the log has a traceback: {text.strip().splitlines()[-1][:120]}")
        return problems

    return ending


def _ended_in_time(server: SiegeServer, pids: tuple[int, ...]) -> list[str]:
    began = time.monotonic()
    try:
        server.process.wait(DRAIN_S + MORE_S + 15)
    except subprocess.TimeoutExpired:
        return [f"still alive {time.monotonic() - began:.0f} s after the signal"]
    took = time.monotonic() - began
    problems = [f"ended after {took:.1f} s"] if took > DRAIN_S + MORE_S + 0.5 else []
    if server.process.returncode != 0:
        problems.append(f"ended with {server.process.returncode}")
    return problems + _left(pids)


def _left(pids: tuple[int, ...]) -> list[str]:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        left = [pid for pid in pids if _runs(pid)]
        if not left:
            return []
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return [f"{len(left)} processes are left"]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _nothing(target: AttackTarget) -> None:
    return None


def _endless(target: AttackTarget) -> None:
    for _ in range(6):
        threading.Thread(target=target.call, args=(PREDICT, steps_request(SPEED_OF_LIGHT)), daemon=True).start()


def _sockets(target: AttackTarget) -> object:
    held = [
        open_connections(target.rest, 100, b"GET /v1"),
        open_connections(lambda: target.raw(target.port), 100, PREFACE + settings()),
    ]
    return [(one, one.__enter__()) for one in held]


def _orphans(config: Path, folder: Path, tree: Path) -> list[str]:
    with start_server(config, folder / "orphans.log", workers=2, tree=tree) as server:
        pids = server.pids()
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        time.sleep(DRAIN_S)
        return _left(pids[1:])


for _workers in (1, 2):
    for _which in (signal.SIGTERM, signal.SIGINT):
        ENDINGS[f"{_which.name}, {_workers}, at rest"] = _stopped(_workers, _which, _nothing)
        ENDINGS[f"{_which.name}, {_workers}, while a model runs endlessly"] = _stopped(_workers, _which, _endless)
    ENDINGS[f"SIGTERM, {_workers}, 200 sockets held"] = _stopped(_workers, signal.SIGTERM, _sockets)
ENDINGS["SIGKILL of the supervisor"] = _orphans
ENDINGS["TLS, handshakes that never end"] = stalled_handshakes
ENDINGS["TLS, an expired certificate"] = expired_certificate
