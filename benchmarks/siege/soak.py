"""Many right requests with some hostile ones among them, and what the server's memory makes of it."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from benchmarks.serving import run_load
from benchmarks.siege import wire
from benchmarks.siege.attack import Prober
from benchmarks.siege.attacks.json_bodies import instances, listed
from benchmarks.siege.fuzz import LEVELS, Findings, Fuzzer
from benchmarks.siege.models import TEXT
from benchmarks.siege.server import HOST, Server
from benchmarks.siege.target import Target, reset, send
from benchmarks.small_model import made_up_texts

POINTS, CONCURRENCY, HOSTILE = 10, 16, 0.01
MIB = 2**20


def soak(server: Server, requests: int, seed: int) -> Iterator[dict[str, Any]]:
    """Sends so many right requests over gRPC and REST in turn, one in a hundred more is hostile.

    Yields:
        Ten times: `requests`, the longest waits of health and others in ms and of the machine, MiB, what was told.

    Raises:
        RuntimeError: a right request failed.
    """
    prober, target, source, findings = Prober(server), Target(server), Random(seed), Findings()
    fuzzer, pids, texts = Fuzzer(server, seed, findings), server.pids(), made_up_texts(256)
    load = {"inputs": ["text"], "texts": texts, "seconds": 0.0, "concurrency": CONCURRENCY, "model": TEXT}
    try:
        for point in range(1, POINTS + 1):
            part = requests // POINTS
            count = round(part * HOSTILE)
            thread = threading.Thread(target=_harass, args=(target, fuzzer, source, count, point), daemon=True)
            thread.start()
            for kind, port in (("grpc", server.port), ("rest", server.rest_port)):
                run_load(kind=kind, requests=part // 2, target=f"{HOST}:{port}", pids=list(pids), **load)
            thread.join()
            told = prober.window()
            machine = told.pop("machine")["longest_ms"]
            health = max(one["longest_ms"] for kind, one in told.items() if kind.startswith("health"))
            others = max(one["longest_ms"] for kind, one in told.items() if not kind.startswith("health"))
            failures = [one["failure"] for one in told.values() if one["failed"]] + findings.bad
            yield {
                "requests": point * part,
                "health_ms": health,
                "others_ms": others,
                "machine_ms": machine,
                "memory": server.memory(),
                "broken": [*failures, *([] if server.pids() == pids else ["a process died"])],
                "told": dict(target.seen.most_common()),
            }
    finally:
        fuzzer.close()
        prober.close()


def _harass(target: Target, fuzzer: Fuzzer, source: Random, count: int, point: int) -> None:
    for index in range(count):
        if index % 2:
            fuzzer.case(source.choice(LEVELS), point * count + index)
        else:
            with contextlib.suppress(OSError):  # refused or reset: the pids tell whether the server lives
                source.choice(HOSTILITIES)(target)


def _cut_off(target: Target) -> None:
    end = target.rest()
    send(end, b"POST /v1/models/text:predict HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(5000))
    reset(end)


def _cancelled(target: Target) -> None:
    with target.http2(5) as end:
        for stream in range(1, 100, 2):
            headers = wire.frame(wire.HEADERS, wire.END_HEADERS, stream, wire.call_headers(wire.PREDICT))
            if not send(end, headers + wire.frame(wire.RST_STREAM, 0, stream, bytes(4))):
                return


HOSTILITIES: tuple[Callable[[Target], object], ...] = (
    lambda target: target.call(wire.PREDICT, wire.strings_request(2**23, wire.block(8, "so good"))),
    lambda target: target.call(wire.PREDICT, wire.strings_request(4 * MIB, b"", bytes(4 * MIB))),
    lambda target: target.call(wire.CLASSIFY, wire.examples_request(wire.block(1) * MIB)),
    lambda target: target.call(wire.PREDICT, wire.text_request(*["so good film"] * 300), timeout=0.02),
    lambda target: target.predict(
        gzip.compress(instances(listed(b"[]", 8 * MIB))), headers="Content-Encoding: gzip\r\n"
    ),
    lambda target: target.predict(instances(b"[" * MIB)),
    lambda target: target.predict(instances(listed(b"1.5", 2 * MIB) + b",NaN")),
    lambda target: target.post(f"/v1/models/m/versions/{'1' * 4301}:predict", b"{}"),
    _cut_off,
    _cancelled,
)
