"""Runs the attacks one after another, or the fuzzer, and formats the reports."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.siege.attack import OTHERS_MS, Attack, AttackReport, Prober, run_attack
from benchmarks.siege.fuzz import LEVELS, FuzzFindings, fuzz
from benchmarks.siege.server import SiegeServer, start_server
from benchmarks.siege.target import AttackTarget

SUBJECTS = ("tensors", "json_bodies", "http1", "http2", "frames", "runs", "workers")
COLUMNS = ("attack", "workers", "s", "responses", "health ms", "others ms", "machine ms", "refused")
COLUMNS += ("MiB before, peak, after", "CPU s", "log KiB", "broken")


def load_attacks() -> None:
    """Imports the attacks, which fills `ATTACKS`."""
    for subject in SUBJECTS:
        importlib.import_module(f"benchmarks.siege.attacks.{subject}")


def run_attacks(
    attacks: list[Attack], config: Path, folder: Path, workers: int, tree: Path, flags: Sequence[str], slack: float
) -> Iterator[AttackReport]:
    """Yields the reports of the attacks in turn; a server that breaks is replaced for the next."""
    left = [one for one in attacks if workers in one.workers]
    while left:
        log = folder / f"server-{workers}-{len(left)}.log"
        with start_server(config, log, workers=workers, tree=tree, flags=flags) as server:
            prober = Prober(server)
            try:
                warm_up(prober)
                while left:
                    report = run_attack(left.pop(0), server, prober, slack=slack)
                    yield report
                    if _spent(report, server):
                        break
            finally:
                prober.close()


def warm_up(prober: Prober) -> None:
    """Waits until all probes have been answered and the server's first requests are over."""
    time.sleep(3)
    for _ in range(20):
        window = prober.window()
        if all(each["answered"] and not each["failed"] for kind, each in window.items() if kind != "machine"):
            return
        time.sleep(1)
    raise RuntimeError(f"the probes are not answered: {window}")


def table_row(report: AttackReport) -> str:
    """A row of the table."""
    responses = ", ".join(f"{count} {code}" for code, count in report.responses.items())[:90]
    memory = ", ".join(f"{value:,.0f}" for value in report.memory)
    cells = [report.attack, report.workers, f"{report.seconds:.1f}", responses, f"{report.health_ms:,.0f}"]
    cells += [f"{report.others_ms:,.0f}", f"{report.machine_ms:,.0f}", report.refused, memory]
    cells += [f"{report.cpu_s:.1f}", f"{report.log_bytes / 1024:,.0f}", "; ".join(report.broken)]
    return f"| {' | '.join(map(str, cells))} |"


def _spent(report: AttackReport, server: SiegeServer) -> bool:
    """Whether the attack left the server in a state that would be blamed on the next one."""
    signs = ("died", "given back", "afterwards", "still runs", "attack failed", "never answered")
    return not server.alive() or any(word in problem for problem in report.broken for word in signs)


def fuzz_and_probe(
    server: SiegeServer, seed: int, seconds: float, *, levels: Sequence[str] = LEVELS, slack: float = 1.0
) -> tuple[AttackReport, FuzzFindings]:
    """Fuzzes a server for `seconds` while probing it."""
    found: list[FuzzFindings] = []

    def run(target: AttackTarget) -> None:
        found.append(fuzz(server, seed, seconds, levels=levels))

    prober = Prober(server)
    try:
        warm_up(prober)
        # Some cases are valid or large requests, and the fuzzer shares the server's cores: health may wait longer.
        report = run_attack(
            Attack("fuzz", run, "fuzz", health_ms=OTHERS_MS), server, prober, slack=slack, longest=seconds + 70
        )
    finally:
        prober.close()
    return report, found[0] if found else FuzzFindings()


def summary(seed: int, report: AttackReport, findings: FuzzFindings) -> str:
    """A summary of the findings."""
    memory = ", ".join(f"{value:,.0f}" for value in report.memory)
    lines = [f"seed {seed}, {report.workers} workers: {findings.cases:,} cases in {report.seconds:.0f} s"]
    lines += [
        f"health waited {report.health_ms:.0f} ms at most, others {report.others_ms:.0f} ms, a bare echo "
        f"{report.machine_ms:.0f} ms, a case {findings.longest_s:.1f} s; MiB before, peak, after: {memory}"
    ]
    lines.append(", ".join(f"{count} {answer}" for answer, count in sorted(findings.answers.items())))
    lines += [f"BROKEN: {one}" for one in report.broken]
    lines += [f"BROKEN: {one}" for one in findings.bad[:20]]
    return "\n".join(lines)
