"""Runs that would go on forever: a loop of a length that the caller chooses, without a deadline."""

from __future__ import annotations

import time

from benchmarks.siege.attack import attack
from benchmarks.siege.models import SPEED_OF_LIGHT
from benchmarks.siege.server import RUN_SECONDS
from benchmarks.siege.target import AttackTarget, reset, run_concurrently, send
from benchmarks.siege.wire import END_HEADERS, HEADERS, PREDICT, call_headers, data, frame, message, steps_request

LONGEST_S = 3 * RUN_SECONDS
"""The limit for all runs: each ends at the server's limit, but some may have to wait for others first."""


@attack("endless runs without a deadline, 8 at once", quick=True)
def endless_runs(target: AttackTarget) -> None:
    _endless(target, rows=1, count=8)


@attack("endless runs of 20 rows without a deadline")
def large_endless_runs(target: AttackTarget) -> None:
    _endless(target, rows=20, count=2)


@attack("endless runs whose callers leave", quick=True)
def abandoned_runs(target: AttackTarget) -> None:
    body = data(1, message(steps_request(SPEED_OF_LIGHT)))
    for _ in range(8):
        connection = target.http2()
        send(connection, frame(HEADERS, END_HEADERS, 1, call_headers(PREDICT)), body)
        time.sleep(0.1)
        reset(connection)
    _few_steps(target)


def _endless(target: AttackTarget, rows: int, count: int) -> None:
    began = time.monotonic()
    body = steps_request(SPEED_OF_LIGHT, rows)
    codes = run_concurrently(count, lambda _: target.call(PREDICT, body, timeout=None))
    took = time.monotonic() - began
    if set(codes) != {"DEADLINE_EXCEEDED"} or "--max_run_seconds" not in target.messages["DEADLINE_EXCEEDED"]:
        raise AssertionError(f"endless runs ended with {set(codes)}: {target.messages}")
    if took > LONGEST_S:
        raise AssertionError(f"endless runs ended after {took:.1f} s")
    _few_steps(target)


def _few_steps(target: AttackTarget) -> None:
    """Checks that a short run of the same kind succeeds after the endless ones."""
    if target.call(PREDICT, steps_request(3), timeout=LONGEST_S) != "OK":
        raise AssertionError(f"a run of 3 steps failed: {target.messages}")
