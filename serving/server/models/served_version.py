"""One version of a model through its life, and the counted handles that keep it loaded while it runs."""

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
    """A version that is, was or will be served. It belongs to the event loop.

    Attributes:
        aspired: whether the base path and the version policy ask for it.
        error: why it ended, None where it was unloaded as it should be.
        failure: of the last try to load it, which may be tried again.
        servable: what runs it, None but while it is available or unloading.
        batching: how requests to it are joined, None where each runs by itself.
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
        """Goes to a state and tells who watches."""
        self.state, self.error = state, error
        self._on_state(self)

    def acquire(self) -> Servable:
        """Keeps it loaded until `release` is called as often."""
        assert self.servable is not None, "only an available version is handed out"
        self._users += 1
        return self.servable

    def release(self) -> None:
        self._users -= 1
        if not self._users and self._drained is not None:
            self._drained()

    def when_drained(self, drained: Callable[[], None]) -> None:
        """Calls back, once, as soon as nothing runs in it; at once where nothing does. No new user may come."""
        self._drained = drained
        if not self._users:
            drained()

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"
