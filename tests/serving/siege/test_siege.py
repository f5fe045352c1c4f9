"""The real server under 8 GB of address space and 400 descriptors: whatever strangers do, nobody else notices.

The attacks are the quick ones of `benchmarks/py`, which repeats any of them by its name.
"""

import shutil
import sys

import pytest

from benchmarks.siege.attack import ATTACKS, Prober, judge
from benchmarks.siege.campaign import fuzzed, load, row, told, warm_up
from benchmarks.siege.models import prepare
from benchmarks.siege.server import besieged

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's"),
    pytest.mark.skipif(shutil.which("sh") is None, reason="the limits are set by a shell"),
]

SLACK = 5.0
"""How much longer than on a quiet machine anybody may wait here."""

TWICE = ("450 sockets that send half a header", "450 calls without their message", "an answer of a gigabyte")
FUZZ_SECONDS = 30.0
SEED = 14

load()
QUICK = [one for one in ATTACKS.values() if one.quick]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("models"), encoder=False)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def under_siege(request, config, tmp_path_factory):
    """A server and who probes it; each attack finds the server that the last one left."""
    log = tmp_path_factory.mktemp("siege") / "server.log"
    with besieged(config, log, workers=request.param) as server:
        prober = Prober(server)
        warm_up(prober)
        yield server, prober
        prober.close()


@pytest.mark.parametrize("one", QUICK, ids=[one.name for one in QUICK])
def test_nobody_else_notices(under_siege, one):
    server, prober = under_siege
    if server.workers not in one.workers:
        pytest.skip(f"means something for {one.workers} workers")
    if server.workers > 1 and one.subject != "workers" and one.name not in TWICE:
        pytest.skip("a worker is a process: done there")
    verdict = judge(one, server, prober, slack=SLACK)
    assert not verdict.broken, f"{row(verdict)}\n{server.log.read_text(errors='replace')[-3000:]}"


@pytest.mark.parametrize("workers", [1, 2])
def test_wrong_requests_are_answered_or_refused(config, tmp_path, workers):
    log = tmp_path / "server.log"
    with besieged(config, log, workers=workers) as server:
        verdict, findings = fuzzed(server, SEED, FUZZ_SECONDS, slack=SLACK)
    broken = verdict.broken + findings.bad
    assert not broken, f"{told(SEED, verdict, findings)}\n{log.read_text(errors='replace')[-3000:]}"
    assert findings.cases > 20 * FUZZ_SECONDS
