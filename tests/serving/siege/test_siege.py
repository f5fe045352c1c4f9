"""The real server with 8 GB of address space and 400 descriptors: attacks do not affect other callers.

The attacks are the quick ones of `benchmarks/serving_siege.py`, which can repeat any of them by name.
"""

import shutil
import sys

import pytest

from benchmarks.siege.attack import ATTACKS, Prober, run_attack
from benchmarks.siege.campaign import fuzz_and_probe, load_attacks, summary, table_row, warm_up
from benchmarks.siege.models import prepare
from benchmarks.siege.server import start_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc exist only on Linux"),
    pytest.mark.skipif(shutil.which("sh") is None, reason="the limits are set by a shell"),
]

SLACK = 30.0
"""Factor for the permitted waits: three seconds for health.

The benchmark judges the waits. Here, beside other tests on any machine, a server only must not be blocked: a busy
machine of two slow cores has been seen to make health wait a second, and Kubernetes' default probes give up after
three.
"""

TWICE = ("450 sockets that send half a header", "450 calls without their message", "an answer of a gigabyte")
FUZZ_SECONDS = 30.0
SEED = 14

load_attacks()
QUICK = [one for one in ATTACKS.values() if one.quick]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("models"), encoder=False)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def under_siege(request, config, tmp_path_factory):
    """A server and its prober; all attacks run on the same server."""
    log = tmp_path_factory.mktemp("siege") / "server.log"
    with start_server(config, log, workers=request.param) as server:
        prober = Prober(server)
        warm_up(prober)
        yield server, prober
        prober.close()


@pytest.mark.parametrize("one", QUICK, ids=[one.name for one in QUICK])
def test_other_callers_do_not_notice(under_siege, one):
    server, prober = under_siege
    if server.workers not in one.workers:
        pytest.skip(f"means something for {one.workers} workers")
    if server.workers > 1 and one.subject != "workers" and one.name not in TWICE:
        pytest.skip("a worker is a process: done there")
    report = run_attack(one, server, prober, slack=SLACK)
    assert not report.broken, f"{table_row(report)}\n{server.log.read_text(errors='replace')[-3000:]}"


@pytest.mark.parametrize("workers", [1, 2])
def test_wrong_requests_are_served_or_refused(config, tmp_path, workers):
    log = tmp_path / "server.log"
    with start_server(config, log, workers=workers) as server:
        report, findings = fuzz_and_probe(server, SEED, FUZZ_SECONDS, slack=SLACK)
    broken = report.broken + findings.bad
    assert not broken, f"{summary(SEED, report, findings)}\n{log.read_text(errors='replace')[-3000:]}"
    assert findings.cases > 20 * FUZZ_SECONDS
