"""Sends many valid requests mixed with hostile ones, and watches the waits and the server's memory."""

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
from benchmarks.siege.attacks.json_bodies import instances_body, repeated_items
from benchmarks.siege.fuzz import LEVELS, Fuzzer, FuzzFindings
from benchmarks.siege.models import TEXT
from benchmarks.siege.server import HOST, SiegeServer
from benchmarks.siege.target import AttackTarget, reset, send
from benchmarks.small_model import made_up_texts

POINTS, CONCURRENCY, HOSTILE = 10, 16, 0.01
MIB = 2**20


def soak(server: SiegeServer, requests: int, seed: int) -> Iterator[dict[str, Any]]:
    """Sends `requests` valid requests over gRPC and REST in turn, and one hostile request per hundred.

    Yields:
        Ten times: `requests`, the longest waits of health, others and the machine in ms, MiB, failures, responses.

    Raises:
        RuntimeError: a valid request failed.
    """
    prober, target, source, findings = Prober(server), AttackTarget(server), Random(seed), FuzzFindings()
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
            windows = prober.window()
            machine = windows.pop("machine")["longest_ms"]
            health = max(one["longest_ms"] for kind, one in windows.items() if kind.startswith("health"))
            others = max(one["longest_ms"] for kind, one in windows.items() if not kind.startswith("health"))
            failures = [one["failure"] for one in windows.values() if one["failed"]] + findings.bad
            yield {
                "requests": point * part,
                "health_ms": health,
                "others_ms": others,
                "machine_ms": machine,
                "memory": server.memory(),
                "broken": [*failures, *([] if server.pids() == pids else ["a process died"])],
                "responses": dict(target.responses.most_common()),
            }
    finally:
        fuzzer.close()
        prober.close()


def _harass(target: AttackTarget, fuzzer: Fuzzer, source: Random, count: int, point: int) -> None:
    for index in range(count):
        if index % 2:
            fuzzer.case(source.choice(LEVELS), point * count + index)
        else:
            with contextlib.suppress(OSError):  # refused or reset; the pids show whether the server lives
                source.choice(HOSTILE_REQUESTS)(target)


def _cut_off(target: AttackTarget) -> None:
    connection = target.rest()
    send(connection, b"POST /v1/models/text:predict HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(5000))
    reset(connection)


def _cancelled(target: AttackTarget) -> None:
    with target.http2(5) as connection:
        for stream in range(1, 100, 2):
            headers = wire.frame(wire.HEADERS, wire.END_HEADERS, stream, wire.call_headers(wire.PREDICT))
            if not send(connection, headers + wire.frame(wire.RST_STREAM, 0, stream, bytes(4))):
                return


HOSTILE_REQUESTS: tuple[Callable[[AttackTarget], object], ...] = (
    lambda target: target.call(wire.PREDICT, wire.strings_request(2**23, wire.block(8, "so good"))),
    lambda target: target.call(wire.PREDICT, wire.strings_request(4 * MIB, b"", bytes(4 * MIB))),
    lambda target: target.call(wire.CLASSIFY, wire.examples_request(wire.block(1) * MIB)),
    lambda target: target.call(wire.PREDICT, wire.text_request(*["so good film"] * 300), timeout=0.02),
    lambda target: target.predict(
        gzip.compress(instances_body(repeated_items(b"[]", 8 * MIB))), headers="Content-Encoding: gzip\r\n"
    ),
    lambda target: target.predict(instances_body(b"[" * MIB)),
    lambda target: target.predict(instances_body(repeated_items(b"1.5", 2 * MIB) + b",NaN")),
    lambda target: target.post(f"/v1/models/m/versions/{'1' * 4301}:predict", b"{}"),
    _cut_off,
    _cancelled,
)
