"""The life cycle of one model version, and the reference count that keeps it loaded while it runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from serving.errors import StatusError
from serving.server.calls.servable import Servable
from serving.server.run.batching_options import BatchingOptions


class VersionState(Enum):
    """`ModelVersionStatus.State`: a version goes through these in order, or from any of them to the end."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class ServedVersion:
    """A version that is, was or will be served. Use it only in the event loop.

    Attributes:
        aspired: whether the base path and the version policy select it.
        error: why it ended, None after a normal unload.
        failure: the error of the last attempt to load it, which may be repeated.
        servable: the loaded model, only while available or unloading.
        batching: how its requests are batched, None if they are not.
    """

    def __init__(self, model: str, number: int, path: Path, on_state: Callable[[ServedVersion], None]) -> None:
        self.model, self.number, self.path = model, number, path
        self.aspired = True
        self.state = VersionState.START
        self.error: StatusError | None = None
        self.failure: StatusError | None = None
        self.servable: Servable | None = None
        self.batching: BatchingOptions | None = None
        self._on_state = on_state
        self._users = 0
        self._drained: Callable[[], None] | None = None

    def move(self, state: VersionState, error: StatusError | None = None) -> None:
        """Changes the state and reports it."""
        self.state, self.error = state, error
        self._on_state(self)

    def acquire(self) -> Servable:
        """Keeps the version loaded until `release` has been called as often."""
        assert self.servable is not None, "only an available version is handed out"
        self._users += 1
        return self.servable

    def release(self) -> None:
        self._users -= 1
        if not self._users and self._drained is not None:
            self._drained()

    def when_drained(self, drained: Callable[[], None]) -> None:
        """Calls `drained` once, as soon as nothing runs in the version. It must not be acquired again."""
        self._drained = drained
        if not self._users:
            drained()

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"
