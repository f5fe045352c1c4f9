"""The server beside the raw limit (the model in a loop) and a gRPC echo: throughput, latency, CPU per request.

    python benchmarks/serving.py [--model DIR] [--seconds 4] [--concurrency 1 8 32 128]
    python benchmarks/serving.py --soak 100000

One table for a small encoder with fresh weights (two layers, 128 wide), one for each --model (a version's folder). The
server is the real one, with one worker per core; a request holds one text. The load comes from a process of its own.

How the goal, 85% of the raw limit's throughput, is computed. On one machine the client takes its share of the cores,
which in production it does not, so requests/s say more about the client than about the server. What the server takes
is CPU seconds: its requests per CPU second of its own are divided by the raw limit's runs per CPU second. That is
"of the raw limit" in the tables: the throughput that the same cores would give if the client ran elsewhere. The raw
limit is the same signature on the same texts, one at a time, in the session that the server itself uses, in one process
per core with one thread each (for one request in flight: in one process); joined batches may do better than it. It
is measured again before every row, so that a machine that is slow for a while is slow for both.

CPU is read from /proc and rounded to 10 ms. Fails where any request does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # beside this file, `serving` would be this file

from benchmarks.serving_load import tree
from serving.check.local_server import LocalServer, local_server

CORES = len(os.sched_getaffinity(0))
SOAK_POINTS, SOAK_CONCURRENCY = 10, 32
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> int:
    """Prints the tables, or the soak's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="DIR", help="a version's folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a row's load")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 128], help="requests in flight")
    parser.add_argument("--soak", type=int, nargs="?", const=100_000, metavar="N", help="N requests, and the memory")
    options = parser.parse_args()
    texts = made_up_texts(256)
    with tempfile.TemporaryDirectory() as temporary:
        small = Path(temporary, "small")
        # In a process of its own: the options that training sets for TensorFlow are not those of a server.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            apart.submit(export_small, small, texts).result()
        if options.soak:
            soak(small, texts, options.soak)
            return 0
        for name, folder in [("two layers, 128 wide", small), *((str(each), each) for each in options.model)]:
            print(f"\n{name}, {CORES} cores\n", flush=True)
            Bench(folder, texts, options.seconds, options.concurrency).run()
    return 0


def made_up_texts(count: int) -> list[str]:
    """Texts of 4 to 40 made-up words, the same each time."""
    source = random.Random(0)
    words = ["".join(source.choices(["ka", "lo", "mi", "ren", "tu", "s"], k=source.randint(1, 4))) for _ in range(2000)]
    return [
        " ".join(words[int(2000 * source.random() ** 3)] for _ in range(source.randint(4, 40))) for _ in range(count)
    ]


def export_small(folder: Path, texts: Sequence[str]) -> None:
    """The default encoder, its weights as they are drawn, with a vocabulary learned from the texts."""
    from models import runtime

    runtime.prepare("auto")
    from models.build import build_model
    from models.config import EncoderConfig, TaskConfig, TokenizerConfig
    from models.saved.export import export_saved_model
    from models.text.vocabulary_training import count_words, learn_wordpiece
    from tflite.host.labels import LabelSpace

    tokenizer = learn_wordpiece(count_words(texts, TokenizerConfig()), TokenizerConfig())
    model = build_model(EncoderConfig(num_layers=2, width=128), tokenizer=tokenizer, outputs=2)
    labels = LabelSpace(labels=("bad", "good"))
    export_saved_model(model, folder, tokenizer=tokenizer, labels=labels, task=TaskConfig())


class Bench:
    """All rows of one model.

    Args:
        folder: the SavedModel; the inputs of `serving_default` are strings.
        texts: what is asked, in turn.
        seconds: of a row's load.
        concurrencies: requests in flight.
    """

    def __init__(self, folder: Path, texts: Sequence[str], seconds: float, concurrencies: Sequence[int]) -> None:
        self._folder, self._texts = folder, list(texts)
        self._seconds, self._concurrencies = seconds, concurrencies
        self._overheads: list[str] = []
        self._raw_rows: list[dict[str, float]] = []

    def run(self) -> None:
        """Measures, and prints each row as it is there."""
        print(
            "| asked over | batching | in flight | requests/s | p50 ms | p99 ms | server CPU ms | client CPU ms |",
            end="",
        )
        print(" raw limit's CPU ms | of the raw limit |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
        with raw_limit(self._folder, self._texts) as (self._raw, inputs):
            load = {"inputs": inputs, "texts": self._texts, "seconds": self._seconds}
            for batching in (False, True):
                flags = [f"--workers={CORES}", *["--enable_batching"] * batching]
                with served(self._folder, flags) as server:
                    self._warm_up(load, server)
                    for kind, url in (("grpc", server.grpc), ("rest", server.rest)):
                        self._rows(kind, batching, load | _asked(server, url))
            with echo_server() as (target, pids):
                self._rows("echo", None, load | {"target": target, "model": "echo", "pids": pids})
        for processes in sorted({row["processes"] for row in self._raw_rows}):
            rows = [row for row in self._raw_rows if row["processes"] == processes]
            rate, cpu = (statistics.median(row[key] for row in rows) for key in ("rate", "cpu"))
            print(f"| raw limit in {processes}, median | | | {rate:,.0f} | | | {cpu:.3f} | | | |")
        print("\n" + "\n".join(self._overheads) + f"\n{ready_time(self._folder)}", flush=True)

    def _warm_up(self, load: dict[str, Any], server: LocalServer) -> None:
        """What every worker does once, such as growing its memory, is in no row."""
        drive(kind="grpc", concurrency=32, **load | _asked(server, server.grpc))

    def _rows(self, kind: str, batching: bool | None, load: dict[str, Any]) -> None:
        for concurrency in self._concurrencies:
            raw = self._raw_limit(min(concurrency, CORES))
            row = drive(kind=kind, concurrency=concurrency, **load)
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
        """Runs per second of so many processes at once, and milliseconds of CPU of a run."""
        for one in self._raw[:processes]:
            tell(one, f"{self._seconds / 2}")
        told = [hear(one) for one in self._raw[:processes]]
        cpu = 1e3 * sum(each["cpu"] for each in told) / sum(each["requests"] for each in told)
        rate = sum(each["requests"] / each["seconds"] for each in told)
        self._raw_rows.append({"processes": processes, "rate": rate, "cpu": cpu})
        return self._raw_rows[-1]


def _asked(server: LocalServer, url: str) -> dict[str, Any]:
    return {"target": url.partition("//")[2], "model": server.model, "pids": tree(server.pid)}


def soak(folder: Path, texts: list[str], requests: int) -> None:
    """Sends so many requests over gRPC and REST in turn, and prints the server's memory at ten points."""
    print("| requests | seconds | memory of all processes, MiB |\n|---|---|---|", flush=True)
    began, done = time.monotonic(), 0
    with served(folder, [f"--workers={CORES}"]) as server:
        pids = tree(server.pid)
        load = {"inputs": ["text"], "texts": texts, "seconds": 0.0, "concurrency": SOAK_CONCURRENCY}
        for _ in range(SOAK_POINTS):
            for kind, url in (("grpc", server.grpc), ("rest", server.rest)):
                part = max(1, requests // (2 * SOAK_POINTS))
                done += drive(kind=kind, requests=part, **load, **_asked(server, url))["requests"]
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
            print(f"| {done:,} | {time.monotonic() - began:.0f} | {pages * PAGE_KIB / 1024:.1f} |", flush=True)


def ready_time(folder: Path) -> str:
    """A start of the server with one worker, by the times of its log."""
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
    """The real server, when all of its workers are ready."""
    with local_server(folder, model="bench", flags=flags) as server:
        while server.log.read_text().count("; ready after") < (CORES if f"--workers={CORES}" in flags else 1):
            time.sleep(0.05)
        yield server


@contextlib.contextmanager
def raw_limit(folder: Path, texts: Sequence[str]) -> Iterator[tuple[list[subprocess.Popen[str]], list[str]]]:
    """Processes with the model loaded, one per core, and the names of its inputs."""
    options = json.dumps({"folder": str(folder), "texts": list(texts)})
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child("raw", options)) for _ in range(CORES)]
        inputs = [hear(one)["inputs"] for one in processes]
        yield processes, inputs[0]


@contextlib.contextmanager
def echo_server() -> Iterator[tuple[str, list[int]]]:
    """gRPC and nothing behind it, one process per core; HOST:PORT and who they are."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child("echo", json.dumps({"port": port}))) for _ in range(CORES)]
        for one in processes:
            hear(one)
        yield f"127.0.0.1:{port}", [one.pid for one in processes]


def drive(**options: Any) -> dict[str, Any]:
    """What a process with the load, `serving_load.load`, tells."""
    with child("load", json.dumps(options)) as process:
        return hear(process)


@contextlib.contextmanager
def child(what: str, options: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `benchmarks/serving_load.py` until the block ends."""
    command = [sys.executable, "-m", "benchmarks.serving_load", what]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        tell(process, options)
        yield process
    finally:
        process.communicate()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Writes a line to it."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that it says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"benchmarks.serving_load ended with {process.wait()}")
    return json.loads(line)  # type: ignore[no-any-return]  # of its own making


if __name__ == "__main__":
    sys.exit(main())
