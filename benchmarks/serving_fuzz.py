"""Wrong requests without end, over all that the server speaks, while others ask small things: nobody may notice.

    python benchmarks/serving_fuzz.py [--seconds 600] [--seed N] [--workers 1 2] [--tree DIR] [--models DIR]
    python benchmarks/serving_fuzz.py --seed N --case LEVEL:NUMBER

Valid requests are changed at five levels: bytes and fields of protobuf messages, values of JSON, bytes of HTTP/1,
frames of HTTP/2. The seed and the numbers of what failed are printed, and repeat it. The server has 8 GB of address
space and 400 descriptors. Fails where a process dies, where anybody is told of an error of the server's own (UNKNOWN,
INTERNAL, 500), where health or a small request waits over 1 s, or where memory or the log stay large.
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
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what attackers are told is counted, not printed

from benchmarks.siege.campaign import fuzzed, told
from benchmarks.siege.fuzz import LEVELS, Findings, Fuzzer
from benchmarks.siege.models import prepare
from benchmarks.siege.server import besieged


def main() -> int:
    """Fuzzes, and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of all together")
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--case", metavar="LEVEL:NUMBER", help="this one alone")
    parser.add_argument("--levels", nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout whose server is tried")
    parser.add_argument("--models", type=Path, help="a folder to keep the models in")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    broken = False
    with tempfile.TemporaryDirectory() as temporary:
        config = prepare(options.models or Path(temporary, "models"), encoder=False)
        for workers in options.workers:
            log = Path(temporary, f"fuzz-{workers}.log")
            with besieged(config, log, workers=workers, tree=options.tree.resolve()) as server:
                if options.case:
                    level, _, number = options.case.partition(":")
                    findings = Findings()
                    Fuzzer(server, seed, findings).case(level, int(number))
                    print(dict(findings.answers), *findings.bad, sep="\n")
                    return int(bool(findings.bad))
                verdict, findings = fuzzed(server, seed, options.seconds / len(options.workers), levels=options.levels)
            print(told(seed, verdict, findings), flush=True)
            broken |= bool(verdict.broken or findings.bad)
            if verdict.broken or findings.bad:
                print("the log ends with:", log.read_text(errors="replace")[-3000:], sep="\n")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
