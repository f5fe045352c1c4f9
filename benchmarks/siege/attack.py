"""An attack, the list of all, and the verdict on what a server did under one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.siege.prober import HEALTH, MACHINE
from benchmarks.siege.server import ROOT, Server
from benchmarks.siege.target import Target
from models.child_processes import tied_to_parent

Assault = Callable[[Target], None]

HEALTH_MS, OTHERS_MS = 100.0, 1000.0
"""The longest that health, and anything else, may wait."""
MEMORY_MIB, LOG_BYTES, SPARE_DESCRIPTORS = 300.0, 64 * 1024, 8
"""What may be left behind by an attack: of memory (allocators keep some), the log, and descriptors."""
LONGEST_S = 40.0
SETTLE_S = 12.0
BAD = ("UNKNOWN", "INTERNAL", "DATA_LOSS", "500", "502")
"""What no stranger may ever be told, ..."""
NO_MESSAGE = "The request is no "
"""... but for INTERNAL where the bytes are no message, which are gRPC's own words."""


@dataclass(frozen=True)
class Attack:
    """One way to hurt.

    Attributes:
        name: short, unique.
        assault: does it, within a few seconds.
        subject: the file that it is from.
        quick: whether the slow tests run it.
        workers: the numbers of workers that it means something for.
        allowed: of `BAD`, what is right here.
        new_pids: it ends or stops processes itself, so that their callers fail or wait.
        health_ms: the longest that health may wait: longer in floods of right requests, which are answered in turn.
    """

    name: str
    assault: Assault
    subject: str
    quick: bool = False
    workers: tuple[int, ...] = (1, 2)
    allowed: tuple[str, ...] = ()
    new_pids: bool = False
    health_ms: float = HEALTH_MS


ATTACKS: dict[str, Attack] = {}


def attack(name: str, **fields: Any) -> Callable[[Assault], Assault]:
    """Puts a function on the list."""

    def put(assault: Assault) -> Assault:
        subject = assault.__module__.rpartition(".")[2]
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, assault, subject, **fields)
        return assault

    return put


@dataclass
class Verdict:
    """What one attack did.

    Attributes:
        broken: what is not as it must be; empty: the server stood.
        seen: what the attackers were told.
        health_ms, others_ms: the longest waits.
        machine_ms: what the machine makes everybody wait.
        memory: MiB before, at most (one process) and after.
    """

    attack: str
    workers: int
    seconds: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    health_ms: float = 0.0
    others_ms: float = 0.0
    machine_ms: float = 0.0
    memory: tuple[float, float, float] = (0.0, 0.0, 0.0)
    refused: int = 0
    cpu_s: float = 0.0
    log_bytes: int = 0
    broken: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)


class Prober:
    """The process that probes a server, `prober.py`."""

    def __init__(self, server: Server) -> None:
        command = [sys.executable, "-m", "benchmarks.siege.prober", str(server.port), str(server.rest_port)]
        self._process = subprocess.Popen(
            tied_to_parent([*command, str(1 if server.workers == 1 else 3)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def window(self) -> dict[str, dict[str, Any]]:
        """What happened since the last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the prober ended with {self._process.wait()}")
        return json.loads(line)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def judge(one: Attack, server: Server, prober: Prober, *, slack: float = 1.0, longest: float = LONGEST_S) -> Verdict:
    """Runs an attack, lets the server come to rest, and says what is not as it must be.

    Args:
        one: the attack.
        server: what is attacked.
        prober: probes it all the while.
        slack: by which the permitted waits are multiplied, on machines with other work.
        longest: seconds that the attack may take.
    """
    verdict = Verdict(one.name, server.workers)
    target = Target(server)
    settle(server, server.memory(), 2.0)
    before, pids, logged, cpu = server.memory(), server.pids(), server.log_size(), server.cpu()
    server.reset_peak()
    prober.window()
    began = time.monotonic()
    thread = threading.Thread(target=_run, args=(one, target, verdict), daemon=True)
    thread.start()
    thread.join(longest)
    if thread.is_alive():
        verdict.broken.append(f"the attack still runs after {longest:.0f} s")
    verdict.seconds = time.monotonic() - began
    time.sleep(0.3)
    if one.new_pids:
        prober.window()
    else:
        _judge_waits(verdict, prober.window(), slack, one.health_ms)
    settle(server, before + MEMORY_MIB, SETTLE_S)
    if not one.new_pids and (gone := set(pids) - set(server.pids())):
        verdict.broken.append(f"{len(gone)} of {len(pids)} processes died")
    if not server.alive():
        verdict.broken.append(f"the server ended with {server.process.returncode}")
        return verdict
    _judge_waits(verdict, prober.window(), slack, one.health_ms, after=True)
    verdict.cpu_s = server.cpu() - cpu
    verdict.memory = (before, server.peak(), server.memory())
    verdict.log_bytes = server.log_size() - logged
    verdict.seen, verdict.words = dict(target.seen.most_common()), target.words
    _judge_rest(verdict, one, server)
    return verdict


def settle(server: Server, memory: float, seconds: float) -> None:
    """Waits until the memory is down to so many MiB, so many seconds at most."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.alive() and server.memory() > memory:
        time.sleep(0.2)


def _run(one: Attack, target: Target, verdict: Verdict) -> None:
    try:
        one.assault(target)
    except Exception as error:  # noqa: BLE001  an attack that fails is a finding, of the server or of the attack
        verdict.broken.append(f"the attack failed: {type(error).__name__}: {error}"[:300])


def _judge_waits(
    verdict: Verdict, window: dict[str, dict[str, Any]], slack: float, health_ms: float, *, after: bool = False
) -> None:
    machine = window.pop(MACHINE)
    verdict.machine_ms = max(verdict.machine_ms, machine["longest_ms"])
    late: dict[str, list[float]] = {}
    for kind, told in window.items():
        is_health = kind.startswith(HEALTH)
        name = "health_ms" if is_health else "others_ms"
        setattr(verdict, name, max(getattr(verdict, name), told["longest_ms"]))
        if told["longest_ms"] - machine["longest_ms"] > (health_ms if is_health else OTHERS_MS) * slack:
            late.setdefault(HEALTH if is_health else "others", []).append(told["longest_ms"])
        verdict.refused += told["refused"]
    when = " afterwards" if after else ""
    for what, waits in late.items():
        verdict.broken.append(f"{len(waits)} kinds of {what} waited up to {max(waits):,.0f} ms{when}")
    verdict.broken += _unanswered(window, when, machine["seconds"])


def _unanswered(window: dict[str, dict[str, Any]], when: str, seconds: float) -> list[str]:
    """The probes that failed, the first with its words, and those that nobody answered for a second and a half."""
    broken = []
    failed = {kind: told for kind, told in window.items() if told["failed"]}
    if failed:
        first, told = next(iter(failed.items()))
        count = sum(one["failed"] for one in failed.values())
        broken.append(f"{count} probes of {len(failed)} kinds failed{when}, such as {first}: {told['failure']}")
    silent = [kind for kind, told in window.items() if not told["answered"] and kind not in failed]
    if silent and seconds > 1.5:
        broken.append(f"{len(silent)} kinds of probes were never answered{when}: {', '.join(silent)}")
    if refused := sum(told["refused"] for kind, told in window.items() if kind.startswith(HEALTH)):
        broken.append(f"health was refused {refused} times{when}")
    return broken


def _judge_rest(verdict: Verdict, one: Attack, server: Server) -> None:
    for code in BAD:
        if code in verdict.seen and code not in one.allowed and not verdict.words[code].startswith(NO_MESSAGE):
            words = " ".join(verdict.words[code].split())[:120]
            verdict.broken.append(f"{verdict.seen[code]} x {code}: {words}")
    before, _, after = verdict.memory
    if after > before + MEMORY_MIB:
        verdict.broken.append(f"{after - before:,.0f} MiB are not given back")
    if verdict.log_bytes > LOG_BYTES:
        verdict.broken.append(f"the log grew by {verdict.log_bytes / 1024:,.0f} KiB")
