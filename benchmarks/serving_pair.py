"""Compares this checkout's server with another's, such as an older commit's: ratios of throughput and CPU per request.

    git worktree add ../old COMMIT
    python benchmarks/serving_pair.py ../old [--pairs 3] [--bursts 4] [--load rest:1:off rest:32:on ...]
    python benchmarks/serving_pair.py --quick

Both servers run at the same time, with two workers each, on a small encoder with fresh weights, and are loaded in turn
for a second each, so that a temporary slowdown of the machine affects both. Processes with the same code differ by up
to a fifth, because of their memory layout; hence several pairs of servers, and the mean of their ratios.

A load is the protocol (rest, grpc), the requests in flight, and whether the server batches requests (on, off).
--quick compares this checkout with itself.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # next to this file, `serving` would mean that benchmark

from benchmarks.serving import run_load
from benchmarks.siege.server import HOST, SiegeServer, start_server
from benchmarks.small_model import export_small_model, made_up_texts

_LOADS = ("rest:1:off", "rest:32:off", "rest:1:on", "rest:32:on", "grpc:1:off", "grpc:32:off")
_WORKERS, _BURST_S = 2, 1.0
_MODEL = "bench"


class Load(NamedTuple):
    kind: str
    concurrency: int
    batching: bool


def main() -> int:
    """Prints a row for each load and pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, nargs="?", default=ROOT, metavar="CHECKOUT", help="the other's folder")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of servers per load")
    parser.add_argument("--bursts", type=int, default=4, help="bursts of load per server")
    parser.add_argument(
        "--load", nargs="+", type=_load, default=list(map(_load, _LOADS)), metavar="KIND:NUMBER:BATCHING"
    )
    parser.add_argument("--quick", action="store_true", help="one pair, one burst, one load")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.bursts, options.load = 1, 1, [_load("rest:1:off")]
    elif options.other == ROOT:
        parser.error("give the CHECKOUT to compare with, or --quick")
    texts = made_up_texts(256)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary, "model")
        export_small_model(base / "1", texts)
        config = Path(temporary, "models.config")
        model = f'name: "{_MODEL}" base_path: "{base}" model_platform: "tensorflow"'
        config.write_text(f"model_config_list {{ config {{ {model} }} }}")
        print("| protocol | in flight | batching | requests/s | server CPU |\n|---|---|---|---|---|", flush=True)
        for load in options.load:
            ratios = [_pair(load, config, options.other, texts, options.bursts) for _ in range(options.pairs)]
            rate, cpu = (statistics.geometric_mean(each) for each in zip(*ratios, strict=True))
            each = ", ".join(f"{one:.2f}" for one, _ in ratios)
            switch = "on" if load.batching else "off"
            print(f"| {load.kind} | {load.concurrency} | {switch} | {each}: {rate:.2f} | {cpu:.2f} |", flush=True)
    return 0


def _load(text: str) -> Load:
    kind, number, batching = text.split(":")
    if kind not in ("rest", "grpc") or batching not in ("on", "off"):
        raise ValueError(text)
    return Load(kind, int(number), batching == "on")


def _pair(load: Load, config: Path, other: Path, texts: list[str], bursts: int) -> tuple[float, float]:
    """This server's requests/s and CPU per request, divided by the other's."""
    flags = ["--enable_batching"] * load.batching
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                start_server(
                    config,
                    config.with_name(f"{name}.log"),
                    workers=_WORKERS,
                    tree=tree.resolve(),
                    flags=flags,
                    limited=False,
                )
            )
            for name, tree in (("this", ROOT), ("other", other))
        ]
        for server in servers:
            _burst(server, load._replace(concurrency=32), texts)  # keeps one-time work out of the figures
        rows: list[list[tuple[float, float]]] = [[], []]
        for number in range(bursts):
            for which in (0, 1) if number % 2 else (1, 0):
                rows[which].append(_burst(servers[which], load, texts))
    (rate, cpu), (other_rate, other_cpu) = (
        [statistics.median(column) for column in zip(*each, strict=True)] for each in rows
    )
    return rate / other_rate, cpu / other_cpu


def _burst(server: SiegeServer, load: Load, texts: list[str]) -> tuple[float, float]:
    """Requests/s, and the server's CPU seconds per request."""
    port = server.port if load.kind == "grpc" else server.rest_port
    result = run_load(
        kind=load.kind,
        target=f"{HOST}:{port}",
        model=_MODEL,
        inputs=["text"],
        texts=texts,
        concurrency=load.concurrency,
        seconds=_BURST_S,
        pids=server.pids(),
    )
    return result["requests"] / result["seconds"], result["server_cpu"] / result["requests"]


if __name__ == "__main__":
    sys.exit(main())
