"""What a test does at a certain point of a training."""

from __future__ import annotations

from collections.abc import Callable

from models.training.progress import Progress


class OnceAt:
    """An `on_progress` that does something once, at the first chance from a step on, which a busy machine has sooner.

    `done_at` is the step of that chance, 0 before it.
    """

    def __init__(self, step: int, what: Callable[[], None]) -> None:
        self._step, self._what = step, what
        self.done_at = 0

    def __call__(self, progress: Progress) -> None:
        if progress.step >= self._step and not self.done_at:
            self.done_at = progress.step
            self._what()
