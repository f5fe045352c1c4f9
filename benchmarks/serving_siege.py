"""Attacks the server and measures the effect on other callers, and what each attack leaves behind.

    python benchmarks/serving_siege.py [--workers 1 2] [--only WORD ...] [--tree DIR] [--models DIR]
    python benchmarks/serving_siege.py --soak 100000 [--workers 1 2]
    python benchmarks/serving_siege.py --list

The target is the real server with 8 GB of address space (`ulimit -v`) and 400 file descriptors (`ulimit -n`), in one
process and with two workers. Meanwhile another process requests health, status and small predictions over gRPC and
REST, on persistent and new connections, every 50 or 100 ms. A row has the longest wait of health and status, and of the
other probes; the longest wait of a bare echo at the same time, which is subtracted before a wait is judged; the memory
of all processes before, the peak of one of them, and after; and the failures: a process that died, a wrong or missing
response, health over 100 ms or anything else over 1 s, memory or log output that stays. `--tree` runs another
checkout's server, such as an older commit's. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the attackers' errors are counted, not printed

from benchmarks.siege.attack import ATTACKS
from benchmarks.siege.attacks.endings import ENDINGS
from benchmarks.siege.campaign import COLUMNS, load_attacks, run_attacks, table_row
from benchmarks.siege.models import prepare
from benchmarks.siege.server import start_server


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="only attacks or subjects with this name, or `endings`"
    )
    parser.add_argument("--quick", action="store_true", help="only the attacks that the slow tests run")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout of the server")
    parser.add_argument("--models", type=Path, help="a folder to keep the models in")
    parser.add_argument("--flags", nargs="*", default=[], help="additional flags of the server")
    parser.add_argument("--slack", type=float, default=1.0, help="factor for the permitted waits")
    parser.add_argument(
        "--soak", type=int, metavar="N", help="instead of attacks, N valid requests with 1%% hostile ones"
    )
    parser.add_argument("--list", action="store_true", help="the names of the attacks")
    options = parser.parse_args()
    load_attacks()
    chosen = [
        one for one in ATTACKS.values() if _named(one.name, one.subject, options.only) and one.quick >= options.quick
    ]
    if options.list:
        print("\n".join(f"{one.subject:8} {one.name}" for one in chosen))
        return 0
    broken, tree = 0, options.tree.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        config = prepare(options.models or Path(temporary, "models"), encoder=True)
        if options.soak:
            return run_soak(config, Path(temporary), options)
        print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
        for workers in options.workers:
            for report in run_attacks(chosen, config, Path(temporary), workers, tree, options.flags, options.slack):
                print(table_row(report), flush=True)
                broken += bool(report.broken)
        for name, ending in ENDINGS.items():
            if _named(name, "endings", options.only):
                began = time.monotonic()
                problems = ending(config, Path(temporary), tree)
                broken += bool(problems)
                print(
                    f"| {name} | | {time.monotonic() - began:.1f} | | | | | | | | | {'; '.join(problems)} |", flush=True
                )
    print(f"\n{broken} broken")
    return min(broken, 1)


def run_soak(config: Path, temporary: Path, options: argparse.Namespace) -> int:
    """Prints the table of the soak; 1 if anything failed."""
    from benchmarks.siege.soak import soak

    print("| workers | requests | health ms | others ms | machine ms | MiB of all processes | broken |")
    print("|---|---|---|---|---|---|---|", flush=True)
    broken = 0
    for workers in options.workers:
        log = temporary / f"soak-{workers}.log"
        with start_server(config, log, workers=workers, tree=options.tree.resolve(), flags=options.flags) as server:
            for point in soak(server, options.soak, seed=workers):
                broken += len(point["broken"])
                waits = " | ".join(f"{point[name]:,.0f}" for name in ("health_ms", "others_ms", "machine_ms", "memory"))
                print(
                    f"| {workers} | {point['requests']:,} | {waits} | {'; '.join(point['broken'])[:300]} |", flush=True
                )
            size = f"{server.log_size() / 1024:,.0f} KiB"
            print(f"\nResponses to hostile requests: {point['responses']}; the log has {size}.\n")
    return min(broken, 1)


def _named(name: str, subject: str, words: list[str]) -> bool:
    return not words or any(word == subject or word in name for word in words)


if __name__ == "__main__":
    sys.exit(main())
