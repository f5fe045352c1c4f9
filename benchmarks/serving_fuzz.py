"""Sends invalid requests over every protocol of the server, while probes check that other callers do not notice.

    python benchmarks/serving_fuzz.py [--seconds 600] [--seed N] [--workers 1 2] [--tree DIR] [--models DIR]
    python benchmarks/serving_fuzz.py --quick
    python benchmarks/serving_fuzz.py --seed N --case LEVEL:NUMBER

Valid requests are mutated at five levels: bytes and fields of protobuf messages, JSON values, bytes of HTTP/1, frames
of HTTP/2. The seed and the numbers of failed cases are printed, to repeat them. The server has 8 GB of address space
and 400 file descriptors. Fails if a process dies, if a response is an internal error of the server (UNKNOWN, INTERNAL,
500), if health or a small request waits over 1 s, or if memory or the log stay large.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the attackers' errors are counted, not printed

from benchmarks.siege.campaign import fuzz_and_probe, summary
from benchmarks.siege.fuzz import LEVELS, Fuzzer, FuzzFindings
from benchmarks.siege.models import prepare
from benchmarks.siege.server import start_server


def main() -> int:
    """Fuzzes the server and prints the findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="in all")
    parser.add_argument("--seed", type=int, help="default: a random one, which is printed")
    parser.add_argument("--case", metavar="LEVEL:NUMBER", help="run only this case")
    parser.add_argument("--levels", nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout of the server")
    parser.add_argument("--models", type=Path, help="a folder to keep the models in")
    parser.add_argument("--slack", type=float, default=1.0, help="factor for the permitted waits")
    parser.add_argument("--quick", action="store_true", help="20 seconds, one worker, slack 5")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.workers, options.slack = 20.0, [1], 5.0
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    broken = False
    with tempfile.TemporaryDirectory() as temporary:
        config = prepare(options.models or Path(temporary, "models"), encoder=False)
        for workers in options.workers:
            log = Path(temporary, f"fuzz-{workers}.log")
            with start_server(config, log, workers=workers, tree=options.tree.resolve()) as server:
                if options.case:
                    level, _, number = options.case.partition(":")
                    findings = FuzzFindings()
                    Fuzzer(server, seed, findings).case(level, int(number))
                    print(dict(findings.answers), *findings.bad, sep="\n")
                    return int(bool(findings.bad))
                seconds = options.seconds / len(options.workers)
                report, findings = fuzz_and_probe(server, seed, seconds, levels=options.levels, slack=options.slack)
            print(summary(seed, report, findings), flush=True)
            broken |= bool(report.broken or findings.bad)
            if report.broken or findings.bad:
                print("the log ends with:", log.read_text(errors="replace")[-3000:], sep="\n")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
