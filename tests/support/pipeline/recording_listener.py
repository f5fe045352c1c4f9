"""A listener of the local runner that writes down what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RecordingListener:
    """`lines`: "STEP started" and "STEP STATUS", in order. `plan`, `used`: what it was told last."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.plan: list[str] = []
        self.used: dict[str, dict[str, float]] = {}

    def planned(self, steps: Sequence[str]) -> None:
        self.plan = list(steps)

    def started(self, step: str) -> None:
        self.lines.append(f"{step} started")

    def ended(self, step: str, status: str, seconds: float, used: Mapping[str, float]) -> None:
        self.used[step] = dict(used)
        self.lines.append(f"{step} {status}")
