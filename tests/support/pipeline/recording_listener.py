"""A listener of the local runner that writes down what it is told."""

from __future__ import annotations


class RecordingListener:
    """`lines`: "STEP started" and "STEP STATUS", in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, step: str) -> None:
        self.lines.append(f"{step} started")

    def ended(self, step: str, status: str, seconds: float) -> None:
        self.lines.append(f"{step} {status}")
