"""How far training has come, how fast it is, and how long it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """What `on_progress` receives, about every second and after every epoch.

    Attributes:
        epoch: the current one, from 1; 0 during the contrastive tuning, whose steps are then counted.
        epochs: the most that there can be.
        step: optimizer steps done in total.
        steps: optimizer steps of the whole training, without early stopping.
        loss: mean training loss of the epoch so far.
        tokens_per_second: real tokens, compilation left out.
        seconds_left: until the end of the last epoch, without early stopping; None if nothing has been timed yet.
        evaluated: share of the eval rows predicted so far, during an evaluation; else None.
        evaluation: metrics of the eval split; only after an epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float | None = None
    evaluated: float | None = None
    evaluation: Mapping[str, float] | None = None


@dataclass
class Position:
    """All that a checkpoint holds besides the variables."""

    epoch: int = 0
    step: int = 0  # optimizer steps done in this epoch
    total_steps: int = 0
    loss_sum: float = 0.0  # of this epoch's steps
    seconds: float = 0.0
    best_epoch: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    contrastive: dict[str, Any] | None = None  # report of the tuning before the first step
    head_start: dict[str, Any] | None = None  # report of the head that was set before the first step

    @property
    def best(self) -> dict[str, Any] | None:
        """The best epoch's entry in `history`."""
        return None if self.best_epoch is None else self.history[self.best_epoch - 1]

    def epochs_without_gain(self, metric: str) -> int:
        """Epochs since the metric reached its best value. A lower loss at the same value is no gain."""
        best = self.best
        if best is None:
            return 0
        value = best[metric]
        if value is None or math.isnan(value):  # the loss decides
            return self.epoch - int(best["epoch"])
        return self.epoch - next(int(entry["epoch"]) for entry in self.history if entry[metric] == value)

    @property
    def mean_loss(self) -> float:
        """Training loss of this epoch's steps, or of the last epoch if this one has none yet."""
        return self.loss_sum / self.step if self.step else float(self.history[-1]["train_loss"])


@dataclass
class Pace:
    """Tokens and seconds of the steps that compiled nothing; seconds of the last evaluation."""

    tokens: int = 0
    padded: int = 0
    seconds: float = 0.0
    steps: int = 0
    evaluation: float = 0.0
    _reported_at: float = field(default_factory=time.monotonic)

    def rate(self, padded: bool = False) -> float:
        """Tokens per second."""
        return (self.padded if padded else self.tokens) / self.seconds if self.seconds else 0.0

    def seconds_left(self, steps: int, evaluations: int) -> float | None:
        """Seconds for this many steps and evaluations; None if no step has been timed yet."""
        if not self.steps:
            return None
        return steps * self.seconds / self.steps + evaluations * self.evaluation

    def is_report_due(self, seconds: float = 1.0) -> bool:
        """True at most once in this many seconds."""
        if time.monotonic() - self._reported_at < seconds:
            return False
        self._reported_at = time.monotonic()
        return True


def format_duration(seconds: float) -> str:
    """A time in the two largest units that matter: "48 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
