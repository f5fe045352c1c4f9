"""How a server ends: by signals while something runs, without its supervisor, with certificates that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.siege.attacks.secured import besieged_handshakes, expired_certificate
from benchmarks.siege.models import SPEED_OF_LIGHT
from benchmarks.siege.server import Server, besieged
from benchmarks.siege.target import Target, crowd
from benchmarks.siege.wire import PREDICT, PREFACE, settings, steps_request

DRAIN_S, MORE_S = 2.0, 5.0
Ending = Callable[[Path, Path, Path], list[str]]

ENDINGS: dict[str, Ending] = {}
"""What is tried to a function of the configuration, a folder and the tree, which says what broke."""


def _stopped(workers: int, which: signal.Signals, prepare: Callable[[Target], object]) -> Ending:
    def ending(config: Path, folder: Path, tree: Path) -> list[str]:
        log = folder / f"ending-{workers}-{which.name}.log"
        with besieged(config, log, workers=workers, tree=tree) as server:
            held = prepare(Target(server))
            time.sleep(1.5)
            pids = server.pids()
            os.kill(server.pid, which)
            said = _ended_in_time(server, pids)
            del held
        if "Traceback" in (text := log.read_text(errors="replace")):
            said.append(f"the log has a traceback: {text.strip().splitlines()[-1][:120]}")
        return said

    return ending


def _ended_in_time(server: Server, pids: tuple[int, ...]) -> list[str]:
    began = time.monotonic()
    try:
        server.process.wait(DRAIN_S + MORE_S + 15)
    except subprocess.TimeoutExpired:
        return [f"still alive {time.monotonic() - began:.0f} s after the signal"]
    took = time.monotonic() - began
    said = [f"ended after {took:.1f} s"] if took > DRAIN_S + MORE_S + 0.5 else []
    if server.process.returncode != 0:
        said.append(f"ended with {server.process.returncode}")
    return said + _left(pids)


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


def _nothing(target: Target) -> None:
    return None


def _endless(target: Target) -> None:
    for _ in range(6):
        threading.Thread(target=target.call, args=(PREDICT, steps_request(SPEED_OF_LIGHT)), daemon=True).start()


def _sockets(target: Target) -> object:
    held = [crowd(target.rest, 100, b"GET /v1"), crowd(lambda: target.raw(target.port), 100, PREFACE + settings())]
    return [(one, one.__enter__()) for one in held]


def _orphans(config: Path, folder: Path, tree: Path) -> list[str]:
    with besieged(config, folder / "orphans.log", workers=2, tree=tree) as server:
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
ENDINGS["TLS, handshakes that never end"] = besieged_handshakes
ENDINGS["TLS, an expired certificate"] = expired_certificate
