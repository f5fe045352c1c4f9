"""Compares the server with the raw limit (the model in a loop) and a gRPC echo: throughput, latency, CPU per request.

    python benchmarks/serving.py [--model DIR] [--seconds 4] [--concurrency 1 8 32 128]
    python benchmarks/serving.py --soak 100000
    python benchmarks/serving.py --quick

Prints one table for a small encoder with fresh weights (two layers, 128 wide) and one for each --model (a version's
folder). The server is the real one, with one worker per core; each request has one text. A separate process generates
the load.

The goal is 85% of the raw limit's throughput. On one machine the client takes its share of the cores, which it does not
in production, so requests/s say more about the client than about the server. The tables therefore compare CPU time: "of
the raw limit" is the server's requests per CPU second, divided by the raw limit's runs per CPU second. It is the
throughput that the same cores would give if the client ran elsewhere. The raw limit is the same signature on the same
texts, one at a time, in the same kind of session as the server's, in one process per core with one thread each (in one
process for one request in flight). Batches may do better. It is measured again before every row, so that a temporary
slowdown of the machine affects both.

CPU time comes from /proc in steps of 10 ms. Fails if any request does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # next to this file, `serving` would mean this file

from benchmarks.serving_load import process_tree
from benchmarks.small_model import export_small_model, made_up_texts
from serving.check.local_server import LocalServer, local_server

CORES = len(os.sched_getaffinity(0))
SOAK_POINTS, SOAK_CONCURRENCY = 10, 32
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> int:
    """Prints the tables, or that of the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="DIR", help="a version's folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of each row's load")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 128], help="requests in flight")
    parser.add_argument(
        "--soak", type=int, nargs="?", const=100_000, metavar="N", help="send N requests and print the memory"
    )
    parser.add_argument("--quick", action="store_true", help="half a second per row, 1 and 8 requests in flight")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.concurrency = 0.5, [1, 8]
    texts = made_up_texts(256)
    with tempfile.TemporaryDirectory() as temporary:
        small = Path(temporary, "small")
        export_small_model(small, texts)
        if options.soak:
            soak(small, texts, options.soak)
            return 0
        for name, folder in [("two layers, 128 wide", small), *((str(each), each) for each in options.model)]:
            print(f"\n{name}, {CORES} cores\n", flush=True)
            ServingBenchmark(folder, texts, options.seconds, options.concurrency).run()
    return 0


class ServingBenchmark:
    """Measures all rows of one model.

    Args:
        folder: the SavedModel; the inputs of `serving_default` are strings.
        texts: sent in turn.
        seconds: duration of each row's load.
        concurrencies: requests in flight.
    """

    def __init__(self, folder: Path, texts: Sequence[str], seconds: float, concurrencies: Sequence[int]) -> None:
        self._folder, self._texts = folder, list(texts)
        self._seconds, self._concurrencies = seconds, concurrencies
        self._overheads: list[str] = []
        self._raw_rows: list[dict[str, float]] = []

    def run(self) -> None:
        """Measures each row and prints it."""
        print(
            "| protocol | batching | in flight | requests/s | p50 ms | p99 ms | server CPU ms | client CPU ms |", end=""
        )
        print(" raw limit's CPU ms | of the raw limit |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
        with raw_limit(self._folder, self._texts) as (self._raw, inputs):
            load = {"inputs": inputs, "texts": self._texts, "seconds": self._seconds}
            for batching in (False, True):
                flags = [f"--workers={CORES}", *["--enable_batching"] * batching]
                with served(self._folder, flags) as server:
                    self._warm_up(load, server)
                    for kind, url in (("grpc", server.grpc), ("rest", server.rest)):
                        self._rows(kind, batching, load | _load_target(server, url))
            with echo_server() as (target, pids):
                self._rows("echo", None, load | {"target": target, "model": "echo", "pids": pids})
        for processes in sorted({row["processes"] for row in self._raw_rows}):
            rows = [row for row in self._raw_rows if row["processes"] == processes]
            rate, cpu = (statistics.median(row[key] for row in rows) for key in ("rate", "cpu"))
            print(f"| raw limit in {processes}, median | | | {rate:,.0f} | | | {cpu:.3f} | | | |")
        print("\n" + "\n".join(self._overheads) + f"\n{ready_time(self._folder)}", flush=True)

    def _warm_up(self, load: dict[str, Any], server: LocalServer) -> None:
        """Keeps one-time work of each worker, such as growing its memory, out of the rows."""
        run_load(kind="grpc", concurrency=32, **load | _load_target(server, server.grpc))

    def _rows(self, kind: str, batching: bool | None, load: dict[str, Any]) -> None:
        for concurrency in self._concurrencies:
            raw = self._raw_limit(min(concurrency, CORES))
            row = run_load(kind=kind, concurrency=concurrency, **load)
            server, client = (1e3 * row[f"{name}_cpu"] / row["requests"] for name in ("server", "client"))
            share = "" if kind == "echo" else f"{raw['cpu']:.3f} | {raw['cpu'] / server:.0%}"
            name = {"grpc": "gRPC", "rest": "REST", "echo": "gRPC echo"}[kind]
            cells = [name, {None: "", False: "off", True: "on"}[batching], str(concurrency)]
            cells += [f"{row['requests'] / row['seconds']:,.0f}", f"{1e3 * row['p50']:.2f}", f"{1e3 * row['p99']:.2f}"]
            print(f"| {' | '.join(cells)} | {server:.3f} | {client:.3f} | {share or ' | '} |", flush=True)
            if concurrency == 1 and batching is False:
                self._overheads.append(
                    f"Overhead at one request in flight, {name}: {server - raw['cpu']:.3f} ms of CPU."
                )

    def _raw_limit(self, processes: int) -> dict[str, float]:
        """Runs per second of `processes` at once, and CPU milliseconds per run."""
        for one in self._raw[:processes]:
            write_line(one, f"{self._seconds / 2}")
        results = [read_line(one) for one in self._raw[:processes]]
        cpu = 1e3 * sum(each["cpu"] for each in results) / sum(each["requests"] for each in results)
        rate = sum(each["requests"] / each["seconds"] for each in results)
        self._raw_rows.append({"processes": processes, "rate": rate, "cpu": cpu})
        return self._raw_rows[-1]


def _load_target(server: LocalServer, url: str) -> dict[str, Any]:
    return {"target": url.partition("//")[2], "model": server.model, "pids": process_tree(server.pid)}


def soak(folder: Path, texts: list[str], requests: int) -> None:
    """Sends `requests` over gRPC and REST in turn, and prints the server's memory at ten points."""
    print("| requests | seconds | memory of all processes, MiB |\n|---|---|---|", flush=True)
    began, done = time.monotonic(), 0
    with served(folder, [f"--workers={CORES}"]) as server:
        pids = process_tree(server.pid)
        load = {"inputs": ["text"], "texts": texts, "seconds": 0.0, "concurrency": SOAK_CONCURRENCY}
        for _ in range(SOAK_POINTS):
            for kind, url in (("grpc", server.grpc), ("rest", server.rest)):
                part = max(1, requests // (2 * SOAK_POINTS))
                done += run_load(kind=kind, requests=part, **load, **_load_target(server, url))["requests"]
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
            print(f"| {done:,} | {time.monotonic() - began:.0f} | {pages * PAGE_KIB / 1024:.1f} |", flush=True)


def ready_time(folder: Path) -> str:
    """The start-up time of the server with one worker, from the times in its log."""
    began = time.time()
    with served(folder, []) as server:
        lines = server.log.read_text().splitlines()
    imported, ready = (
        _time_of(next(line for line in lines if part in line)) for part in ("is imported", "; ready after")
    )
    return f"Ready {ready - began:.1f} s after the process's start, {ready - imported:.1f} s after TensorFlow's import."


def _time_of(line: str) -> float:
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").timestamp()


@contextlib.contextmanager
def served(folder: Path, flags: Sequence[str]) -> Iterator[LocalServer]:
    """The real server, once all of its workers are ready."""
    with local_server(folder, model="bench", flags=flags) as server:
        while server.log.read_text().count("; ready after") < (CORES if f"--workers={CORES}" in flags else 1):
            time.sleep(0.05)
        yield server


@contextlib.contextmanager
def raw_limit(folder: Path, texts: Sequence[str]) -> Iterator[tuple[list[subprocess.Popen[str]], list[str]]]:
    """Processes with the model loaded, one per core, and the names of its inputs."""
    options = json.dumps({"folder": str(folder), "texts": list(texts)})
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(load_process("raw", options)) for _ in range(CORES)]
        inputs = [read_line(one)["inputs"] for one in processes]
        yield processes, inputs[0]


@contextlib.contextmanager
def echo_server() -> Iterator[tuple[str, list[int]]]:
    """Bare gRPC servers, one process per core; HOST:PORT and their process ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(load_process("echo", json.dumps({"port": port}))) for _ in range(CORES)]
        for one in processes:
            read_line(one)
        yield f"127.0.0.1:{port}", [one.pid for one in processes]


def run_load(**options: Any) -> dict[str, Any]:
    """The result of `serving_load.generate_load` in a separate process."""
    with load_process("load", json.dumps(options)) as process:
        return read_line(process)


@contextlib.contextmanager
def load_process(what: str, options: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `benchmarks/serving_load.py`, until the block ends."""
    command = [sys.executable, "-m", "benchmarks.serving_load", what]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        write_line(process, options)
        yield process
    finally:
        process.communicate()


def write_line(process: subprocess.Popen[str], line: str) -> None:
    """Writes a line to the process."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def read_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of JSON from the process."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"benchmarks.serving_load ended with {process.wait()}")
    return json.loads(line)  # type: ignore[no-any-return]  # written by the load process


if __name__ == "__main__":
    sys.exit(main())
