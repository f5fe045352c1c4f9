"""A server's whole siege: the attacks one after the other, or the fuzzer, and what is said of them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.siege.attack import OTHERS_MS, Attack, Prober, Verdict, judge
from benchmarks.siege.fuzz import LEVELS, Findings, fuzz
from benchmarks.siege.server import Server, besieged
from benchmarks.siege.target import Target

SUBJECTS = ("tensors", "json_bodies", "http1", "http2", "frames", "runs", "workers")
COLUMNS = ("attack", "workers", "s", "told", "health ms", "others ms", "machine ms", "refused")
COLUMNS += ("MiB before, peak, after", "CPU s", "log KiB", "broken")


def load() -> None:
    """Fills `ATTACKS`."""
    for subject in SUBJECTS:
        importlib.import_module(f"benchmarks.siege.attacks.{subject}")


def siege(
    attacks: list[Attack], config: Path, folder: Path, workers: int, tree: Path, flags: Sequence[str], slack: float
) -> Iterator[Verdict]:
    """The verdicts on the attacks one after the other; a server that breaks is replaced for the next."""
    left = [one for one in attacks if workers in one.workers]
    while left:
        log = folder / f"server-{workers}-{len(left)}.log"
        with besieged(config, log, workers=workers, tree=tree, flags=flags) as server:
            prober = Prober(server)
            try:
                warm_up(prober)
                while left:
                    verdict = judge(left.pop(0), server, prober, slack=slack)
                    yield verdict
                    if _spent(verdict, server):
                        break
            finally:
                prober.close()


def warm_up(prober: Prober) -> None:
    """Until all probes have been answered and the server's first requests are over."""
    time.sleep(3)
    for _ in range(20):
        window = prober.window()
        if all(told["answered"] and not told["failed"] for kind, told in window.items() if kind != "machine"):
            return
        time.sleep(1)
    raise RuntimeError(f"the probes are not answered: {window}")


def row(verdict: Verdict) -> str:
    """A line of the table."""
    told = ", ".join(f"{count} {code}" for code, count in verdict.seen.items())[:90]
    memory = ", ".join(f"{value:,.0f}" for value in verdict.memory)
    cells = [verdict.attack, verdict.workers, f"{verdict.seconds:.1f}", told, f"{verdict.health_ms:,.0f}"]
    cells += [f"{verdict.others_ms:,.0f}", f"{verdict.machine_ms:,.0f}", verdict.refused, memory]
    cells += [f"{verdict.cpu_s:.1f}", f"{verdict.log_bytes / 1024:,.0f}", "; ".join(verdict.broken)]
    return f"| {' | '.join(map(str, cells))} |"


def _spent(verdict: Verdict, server: Server) -> bool:
    """Whether what the attack left behind would be the next one's fault."""
    words = ("died", "given back", "afterwards", "still runs", "attack failed", "never answered")
    return not server.alive() or any(word in said for said in verdict.broken for word in words)


def fuzzed(
    server: Server, seed: int, seconds: float, *, levels: Sequence[str] = LEVELS, slack: float = 1.0
) -> tuple[Verdict, Findings]:
    """Fuzzes a server for so long while it is probed."""
    found: list[Findings] = []

    def assault(target: Target) -> None:
        found.append(fuzz(server, seed, seconds, levels=levels))

    prober = Prober(server)
    try:
        warm_up(prober)
        # Right requests, and large ones, are among them, and the cores are shared with who makes them.
        verdict = judge(
            Attack("fuzz", assault, "fuzz", health_ms=OTHERS_MS), server, prober, slack=slack, longest=seconds + 70
        )
    finally:
        prober.close()
    return verdict, found[0] if found else Findings()


def told(seed: int, verdict: Verdict, findings: Findings) -> str:
    """A paragraph of what was found."""
    memory = ", ".join(f"{value:,.0f}" for value in verdict.memory)
    lines = [f"seed {seed}, {verdict.workers} workers: {findings.cases:,} cases in {verdict.seconds:.0f} s"]
    lines += [
        f"health waited {verdict.health_ms:.0f} ms at most, others {verdict.others_ms:.0f} ms, a bare echo "
        f"{verdict.machine_ms:.0f} ms, a case {findings.longest_s:.1f} s; MiB before, peak, after: {memory}"
    ]
    lines.append(", ".join(f"{count} {answer}" for answer, count in sorted(findings.answers.items())))
    lines += [f"BROKEN: {one}" for one in verdict.broken]
    lines += [f"BROKEN: {one}" for one in findings.bad[:20]]
    return "\n".join(lines)
