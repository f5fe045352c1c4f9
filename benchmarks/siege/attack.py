"""An attack, the list of all attacks, and the report on how a server behaved under one."""

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
from benchmarks.siege.server import ROOT, SiegeServer
from benchmarks.siege.target import AttackTarget
from models.child_processes import tied_to_parent

AttackFunction = Callable[[AttackTarget], None]

HEALTH_MS, OTHERS_MS = 100.0, 1000.0
"""The longest permitted waits of health probes and of all others."""
MEMORY_MIB, LOG_BYTES, SPARE_DESCRIPTORS = 300.0, 64 * 1024, 8
"""What an attack may leave behind: memory (allocators keep some), log output, and descriptors."""
LONGEST_S = 40.0
SETTLE_S = 12.0
BAD = ("UNKNOWN", "INTERNAL", "DATA_LOSS", "500", "502")
"""Codes that no caller may ever see ..."""
NO_MESSAGE = "The request is no"  # "no" in older checkouts, "not a" now
"""... except INTERNAL with gRPC's own words, if the bytes are not a message."""


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: short and unique.
        run: attacks a target for a few seconds.
        subject: its module's name.
        quick: whether the slow tests run it.
        workers: the numbers of workers for which it is meaningful.
        allowed: the codes of `BAD` that are correct here.
        new_pids: whether it kills or stops processes itself, so that their callers fail or wait.
        health_ms: the longest permitted wait of health probes: longer in floods of valid requests, which queue.
    """

    name: str
    run: AttackFunction
    subject: str
    quick: bool = False
    workers: tuple[int, ...] = (1, 2)
    allowed: tuple[str, ...] = ()
    new_pids: bool = False
    health_ms: float = HEALTH_MS


ATTACKS: dict[str, Attack] = {}


def attack(name: str, **fields: Any) -> Callable[[AttackFunction], AttackFunction]:
    """Adds a function to `ATTACKS`."""

    def add(run: AttackFunction) -> AttackFunction:
        subject = run.__module__.rpartition(".")[2]
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, run, subject, **fields)
        return run

    return add


@dataclass
class AttackReport:
    """The effect of one attack.

    Attributes:
        broken: the failures; empty if the server withstood the attack.
        responses: codes or statuses that the attackers got, with their counts.
        messages: the last message of each.
        health_ms, others_ms: the longest waits.
        machine_ms: the longest wait that the machine itself causes.
        memory: MiB before, peak (of one process) and after.
    """

    attack: str
    workers: int
    seconds: float = 0.0
    responses: dict[str, int] = field(default_factory=dict)
    health_ms: float = 0.0
    others_ms: float = 0.0
    machine_ms: float = 0.0
    memory: tuple[float, float, float] = (0.0, 0.0, 0.0)
    refused: int = 0
    cpu_s: float = 0.0
    log_bytes: int = 0
    broken: list[str] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)


class Prober:
    """Runs `prober.py` on a server."""

    def __init__(self, server: SiegeServer) -> None:
        command = [sys.executable, "-m", "benchmarks.siege.prober", str(server.port), str(server.rest_port)]
        self._process = subprocess.Popen(
            tied_to_parent([*command, str(1 if server.workers == 1 else 3)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def window(self) -> dict[str, dict[str, Any]]:
        """The results since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the prober ended with {self._process.wait()}")
        return json.loads(line)  # type: ignore[no-any-return]  # written by prober.py

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def run_attack(
    one: Attack, server: SiegeServer, prober: Prober, *, slack: float = 1.0, longest: float = LONGEST_S
) -> AttackReport:
    """Runs an attack, lets the server settle, and reports failures.

    Args:
        one: the attack.
        server: its target.
        prober: probes the server meanwhile.
        slack: factor for the permitted waits, for machines with other work.
        longest: seconds that the attack may take.
    """
    report = AttackReport(one.name, server.workers)
    target = AttackTarget(server)
    settle(server, server.memory(), 2.0)
    before, pids, logged, cpu = server.memory(), server.pids(), server.log_size(), server.cpu()
    server.reset_peak()
    prober.window()
    began = time.monotonic()
    thread = threading.Thread(target=_run, args=(one, target, report), daemon=True)
    thread.start()
    thread.join(longest)
    if thread.is_alive():
        report.broken.append(f"the attack still runs after {longest:.0f} s")
    report.seconds = time.monotonic() - began
    time.sleep(0.3)
    if one.new_pids:
        prober.window()
    else:
        _judge_waits(report, prober.window(), slack, one.health_ms)
    settle(server, before + MEMORY_MIB, SETTLE_S)
    if not one.new_pids and (gone := set(pids) - set(server.pids())):
        report.broken.append(f"{len(gone)} of {len(pids)} processes died")
    if not server.alive():
        report.broken.append(f"the server ended with {server.process.returncode}")
        return report
    _judge_waits(report, prober.window(), slack, one.health_ms, after=True)
    report.cpu_s = server.cpu() - cpu
    report.memory = (before, server.peak(), server.memory())
    report.log_bytes = server.log_size() - logged
    report.responses, report.messages = dict(target.responses.most_common()), target.messages
    _judge_rest(report, one, server)
    return report


def settle(server: SiegeServer, memory: float, seconds: float) -> None:
    """Waits until the memory is down to `memory` MiB, at most for `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.alive() and server.memory() > memory:
        time.sleep(0.2)


def _run(one: Attack, target: AttackTarget, report: AttackReport) -> None:
    try:
        one.run(target)
    except Exception as error:  # noqa: BLE001  a failing attack is a finding about the server or the attack
        report.broken.append(f"the attack failed: {type(error).__name__}: {error}"[:300])


def _judge_waits(
    report: AttackReport, window: dict[str, dict[str, Any]], slack: float, health_ms: float, *, after: bool = False
) -> None:
    machine = window.pop(MACHINE)
    report.machine_ms = max(report.machine_ms, machine["longest_ms"])
    late: dict[str, list[float]] = {}
    for kind, figures in window.items():
        is_health = kind.startswith(HEALTH)
        name = "health_ms" if is_health else "others_ms"
        setattr(report, name, max(getattr(report, name), figures["longest_ms"]))
        if figures["longest_ms"] - machine["longest_ms"] > (health_ms if is_health else OTHERS_MS) * slack:
            late.setdefault(HEALTH if is_health else "others", []).append(figures["longest_ms"])
        report.refused += figures["refused"]
    when = " afterwards" if after else ""
    for what, waits in late.items():
        report.broken.append(f"{len(waits)} kinds of {what} waited up to {max(waits):,.0f} ms{when}")
    report.broken += _unanswered(window, when, machine["seconds"])


def _unanswered(window: dict[str, dict[str, Any]], when: str, seconds: float) -> list[str]:
    """Describes the probes that failed, and those without a response for a second and a half."""
    broken = []
    failed = {kind: figures for kind, figures in window.items() if figures["failed"]}
    if failed:
        first, figures = next(iter(failed.items()))
        count = sum(one["failed"] for one in failed.values())
        broken.append(f"{count} probes of {len(failed)} kinds failed{when}, such as {first}: {figures['failure']}")
    silent = [kind for kind, figures in window.items() if not figures["answered"] and kind not in failed]
    if silent and seconds > 1.5:
        broken.append(f"{len(silent)} kinds of probes were never answered{when}: {', '.join(silent)}")
    if refused := sum(figures["refused"] for kind, figures in window.items() if kind.startswith(HEALTH)):
        broken.append(f"health was refused {refused} times{when}")
    return broken


def _judge_rest(report: AttackReport, one: Attack, server: SiegeServer) -> None:
    for code in BAD:
        if code in report.responses and code not in one.allowed and not report.messages[code].startswith(NO_MESSAGE):
            message = " ".join(report.messages[code].split())[:120]
            report.broken.append(f"{report.responses[code]} x {code}: {message}")
    before, _, after = report.memory
    if after > before + MEMORY_MIB:
        report.broken.append(f"{after - before:,.0f} MiB are not given back")
    if report.log_bytes > LOG_BYTES:
        report.broken.append(f"the log grew by {report.log_bytes / 1024:,.0f} KiB")
