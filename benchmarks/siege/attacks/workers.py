"""The cooperation of several workers: reloads, metrics, and workers that die."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import grpc

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS, OTHER, TEXT, base_path
from benchmarks.siege.server import HOST
from benchmarks.siege.target import AttackTarget, run_concurrently
from benchmarks.siege.wire import PREDICT, RELOAD, STATUS, block, floats_request, spec


def reload_request(target: AttackTarget, *names: str) -> bytes:
    rows = [
        block(1, block(1, name) + block(2, str(base_path(target.server.folder, name))) + block(4, "tensorflow"))
        for name in names
    ]
    return block(1, block(1, b"".join(rows)))


def restore_configuration(target: AttackTarget) -> None:
    """Reloads the server's first configuration."""
    if target.call(RELOAD, reload_request(target, FLOATS, TEXT), timeout=30) != "OK":
        raise AssertionError(f"a reload of the first configuration failed: {target.messages}")


def prediction_codes(target: AttackTarget, name: str) -> set[str]:
    """The codes of predictions of a model, over enough connections to reach all workers."""
    return {target.call(PREDICT, floats_request(1.0, model=name)) for _ in range(16)}


@attack("reloads with a deadline of 50 ms", quick=True)
def impatient_reloads(target: AttackTarget) -> None:
    for timeout in (0.001, 0.01, 0.05, 0.05, 0.2):
        target.call(RELOAD, reload_request(target, FLOATS, TEXT, OTHER), timeout=timeout)
        target.call(RELOAD, reload_request(target, FLOATS, TEXT), timeout=timeout)
    run_concurrently(16, lambda _: target.call(RELOAD, reload_request(target, FLOATS, TEXT), timeout=0.05))
    target.page()
    restore_configuration(target)
    if prediction_codes(target, OTHER) != {"NOT_FOUND"}:
        raise AssertionError(f"the workers disagree on {OTHER}: {prediction_codes(target, OTHER)}")


@attack("reloads of this and that, at once", quick=True)
def concurrent_reloads(target: AttackTarget) -> None:
    bodies = [reload_request(target, FLOATS, TEXT), reload_request(target, FLOATS, TEXT, OTHER)]
    run_concurrently(12, lambda index: target.call(RELOAD, bodies[index % 2], timeout=30))
    codes = prediction_codes(target, OTHER)
    restore_configuration(target)
    if len(codes) != 1:
        raise AssertionError(f"the workers disagree on {OTHER}: {codes}")


@attack("invalid reloads", allowed=("UNKNOWN",))
def wrong_reloads(target: AttackTarget) -> None:
    for body in (b"", block(1), block(2)):  # an empty list of models is valid, and unloads all
        target.call(RELOAD, body)
    right = [(name, str(base_path(target.server.folder, name))) for name in (FLOATS, TEXT)]
    for path in (
        "/nowhere",
        "relative",
        "/dev/zero",
        "/proc/self/fd",
        "/etc/passwd",
        "s3://x",
        "/" + "p" * 5000,
        "/\0",
    ):
        models = [*right, ("wrong", path)]
        rows = [block(1, block(1, name) + block(2, base) + block(4, "tensorflow")) for name, base in models]
        target.call(RELOAD, block(1, block(1, b"".join(rows))), timeout=10)
    restore_configuration(target)


@attack("a worker killed after a reload", quick=True, workers=(2,), new_pids=True)
def killed_worker(target: AttackTarget) -> None:
    if target.call(RELOAD, reload_request(target, FLOATS, TEXT, OTHER), timeout=30) != "OK":
        raise AssertionError(f"a reload failed: {target.messages}")
    before = target.server.log.read_text(errors="replace").count("; ready after")
    os.kill(target.server.worker_pids()[0], signal.SIGKILL)
    until = time.monotonic() + 40
    while time.monotonic() < until and target.server.log.read_text(errors="replace").count("; ready after") == before:
        time.sleep(0.2)
    time.sleep(0.5)
    codes = prediction_codes(target, OTHER)
    restore_configuration(target)
    if codes != {"OK"}:
        raise AssertionError(f"after a worker's death {OTHER} is {codes}, not OK in all")


@attack("counters when a worker dies", workers=(2,), new_pids=True)
def counters(target: AttackTarget) -> None:
    def count() -> float:
        rows = [
            line for line in target.page().decode().splitlines() if line.startswith(":tensorflow:serving:request_count")
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in rows)

    before = count()
    ready = target.server.log.read_text(errors="replace").count("; ready after")
    os.kill(target.server.worker_pids()[0], signal.SIGKILL)
    until = time.monotonic() + 40
    while time.monotonic() < until and target.server.log.read_text(errors="replace").count("; ready after") == ready:
        time.sleep(0.2)
    after = count()
    if after < before * 0.98:
        raise AssertionError(f"requests counted fell from {before:.0f} to {after:.0f}")


@attack("a worker that is stopped, metrics and reloads", workers=(2,), new_pids=True)
def stopped_worker(target: AttackTarget) -> None:
    stopped = target.server.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        slow = 0
        for _ in range(6):
            began = time.monotonic()
            with contextlib.suppress(OSError):  # the stopped worker got the request, or was being replaced
                target.page(8)
                slow += time.monotonic() - began > 3
        if slow:
            raise AssertionError(f"{slow} pages of metrics took over 3 s while a worker was stopped")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)


@attack("a flood of statuses and metadata")
def lookups(target: AttackTarget) -> None:
    def send_queries(_: int) -> None:
        with grpc.insecure_channel(f"{HOST}:{target.port}") as channel:
            for index in range(300):
                name = (FLOATS, TEXT, "nobody")[index % 3]
                with contextlib.suppress(grpc.RpcError):
                    channel.unary_unary(STATUS)(block(1, spec(name)), timeout=20)
        for _ in range(50):
            target.post(f"/v1/models/{FLOATS}/metadata", b"", method="GET")

    run_concurrently(8, send_queries)
