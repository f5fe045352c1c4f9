"""Runs that would go on for ever: a loop whose end the caller decides, and callers without a deadline."""

from __future__ import annotations

import time

from benchmarks.siege.attack import attack
from benchmarks.siege.models import SPEED_OF_LIGHT
from benchmarks.siege.server import RUN_SECONDS
from benchmarks.siege.target import Target, reset, send, together
from benchmarks.siege.wire import (
    END_HEADERS,
    HEADERS,
    PREDICT,
    call_headers,
    data,
    frame,
    message,
    steps_request,
)

LONGEST_S = 3 * RUN_SECONDS
"""For all of them: each ends at the server's limit, though some may wait for others first."""


@attack("endless runs without a deadline, 8 at once", quick=True)
def endless_runs(target: Target) -> None:
    _endless(target, rows=1, count=8)


@attack("endless runs of 20 rows without a deadline")
def large_endless_runs(target: Target) -> None:
    _endless(target, rows=20, count=2)


@attack("endless runs whose callers leave", quick=True)
def left_alone(target: Target) -> None:
    body = data(1, message(steps_request(SPEED_OF_LIGHT)))
    for _ in range(8):
        end = target.http2()
        send(end, frame(HEADERS, END_HEADERS, 1, call_headers(PREDICT)), body)
        time.sleep(0.1)
        reset(end)
    _few_steps(target)


def _endless(target: Target, rows: int, count: int) -> None:
    began = time.monotonic()
    body = steps_request(SPEED_OF_LIGHT, rows)
    codes = together(count, lambda _: target.call(PREDICT, body, timeout=None))
    took = time.monotonic() - began
    if set(codes) != {"DEADLINE_EXCEEDED"} or "--max_run_seconds" not in target.words["DEADLINE_EXCEEDED"]:
        raise AssertionError(f"endless runs ended with {set(codes)}: {target.words}")
    if took > LONGEST_S:
        raise AssertionError(f"endless runs ended after {took:.1f} s")
    _few_steps(target)


def _few_steps(target: Target) -> None:
    """A run of the same kind that ends is answered, when those before it are over."""
    if target.call(PREDICT, steps_request(3), timeout=LONGEST_S) != "OK":
        raise AssertionError(f"a run of 3 steps failed: {target.words}")
