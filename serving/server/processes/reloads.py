"""The one configuration of all workers: which is in force, in which order it changes, and who has it.

A reload is in force when every worker has taken it. Where one refuses what others took, those go back to what was in
force. A worker that comes later gets what is in force before it opens its ports.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from serving.errors import Code
from serving.server.processes.frames import Kind, failure, is_taken
from serving.wire import protos

LOG = logging.getLogger("serving")

W = TypeVar("W")
T = TypeVar("T", contravariant=True)
Answer = Callable[[bytes], None]

UNKNOWN_GENERATION = -1
"""That of a worker of which nobody knows what it serves."""


class Send(Protocol[T]):
    """Sends a frame to a worker."""

    def __call__(self, worker: T, kind: Kind, number: int, content: bytes = b"") -> None: ...


@dataclasses.dataclass(eq=False)
class _Reload(Generic[W]):
    """A configuration on its way to workers.

    Attributes:
        generation: that the workers have afterwards, None where it is not in force yet.
        request: a serialized `ReloadConfigRequest`.
        answer: hears how it ended.
    """

    generation: int | None
    request: bytes
    answer: Answer | None = None
    left: set[W] = dataclasses.field(default_factory=set)
    done: dict[W, bytes] = dataclasses.field(default_factory=dict)


class Reloads(Generic[W]):
    """See the module.

    Args:
        config: `ModelServerConfig` to begin with.
        send: tells workers what is decided here.
        give_up_on: ends a worker that serves something else than the others and cannot be brought to what is in force.

    Attributes:
        config: what is in force.
        generation: how many there have been before it.
    """

    def __init__(self, config: Any, send: Send[W], give_up_on: Callable[[W, str], None]) -> None:
        self.config, self.generation = config, 0
        self._send, self._give_up_on = send, give_up_on
        self._has: dict[W, int] = {}  # the generation of each worker that has loaded
        self._opened: set[W] = set()
        self._numbers = itertools.count(1)
        self._running: dict[int, _Reload[W]] = {}
        self._queue: deque[_Reload[W]] = deque()
        self._changing = False

    def ask(self, request: bytes, answer: Answer) -> None:
        """All workers shall reload, after those reloads that were asked for before.

        Args:
            request: a serialized `ReloadConfigRequest`.
            answer: is called with what `frames.failure` reads; never where all workers have died of it.
        """
        self._queue.append(_Reload(None, request, answer))
        self._next()

    def join(self, worker: W, generation: int) -> None:
        """A worker has loaded what was in force in that generation."""
        self._has[worker] = generation
        self._bring_up(worker)

    def leave(self, worker: W) -> None:
        """A worker has died; it may be unknown."""
        self._has.pop(worker, None)
        self._opened.discard(worker)
        for number, reload in list(self._running.items()):
            reload.done.pop(worker, None)
            if worker in reload.left:
                self._end(number, worker)

    def done(self, worker: W, number: int, content: bytes) -> None:
        """A worker has reloaded."""
        reload = self._running.get(number)
        if reload is not None and worker in reload.left:
            reload.done[worker] = content
            self._end(number, worker)

    def _next(self) -> None:
        if self._changing or not self._queue:
            return
        self._changing = True
        self._begin(self._queue.popleft(), set(self._has))

    def _begin(self, reload: _Reload[W], workers: set[W]) -> None:
        number = next(self._numbers)
        self._running[number], reload.left = reload, set(workers)
        for worker in workers:
            self._send(worker, Kind.DO_RELOAD, number, reload.request)
        if not workers:  # nobody can refuse it: the next worker begins with it
            del self._running[number]
            self._put_in_force(reload.request)
            self._changed(reload, b"\0")

    def _end(self, number: int, worker: W) -> None:
        """One worker less is left to a reload."""
        reload = self._running[number]
        reload.left.discard(worker)
        if reload.left:
            return
        del self._running[number]
        if reload.generation is None:
            self._decide(reload)
        elif worker in reload.done:
            self._brought_up(worker, reload.generation, reload.done[worker])

    def _decide(self, reload: _Reload[W]) -> None:
        """All that still live have taken or refused a reload."""
        took = [worker for worker, content in reload.done.items() if is_taken(content)]
        refused = [worker for worker in reload.done if worker not in took]
        if took and not refused:
            self._put_in_force(reload.request)
        for worker, content in reload.done.items():
            if worker in took:
                self._has[worker] = UNKNOWN_GENERATION if refused else self.generation
            elif content[0] == Code.INTERNAL.number:  # who knows where it stopped
                self._has[worker] = UNKNOWN_GENERATION
        if took and refused:
            LOG.error("%d of %d workers refused a reload: it is taken back", len(refused), len(reload.done))
        failures = [content for content in reload.done.values() if failure(content) is not None]
        answers = sorted(failures, key=is_taken) or list(reload.done.values())
        self._changed(reload, answers[0] if answers else None)

    def _put_in_force(self, request: bytes) -> None:
        self.config = protos.ReloadConfigRequest.FromString(request).config
        self.generation += 1

    def _changed(self, reload: _Reload[W], answer: bytes | None) -> None:
        self._changing = False
        if reload.answer is not None and answer is not None:
            reload.answer(answer)
        for worker in list(self._has):
            self._bring_up(worker)
        self._next()

    def _bring_up(self, worker: W) -> None:
        """Sees to it that a worker gets what is in force."""
        if self._has[worker] == self.generation:
            if worker not in self._opened:
                self._opened.add(worker)
                self._send(worker, Kind.OPEN, 0)
        elif not any(one.generation is not None and worker in one.left for one in self._running.values()):
            request = protos.ReloadConfigRequest(config=self.config).SerializeToString()
            self._begin(_Reload(self.generation, request), {worker})

    def _brought_up(self, worker: W, generation: int, content: bytes) -> None:
        why = failure(content)
        if why is not None and not is_taken(content):
            if worker in self._opened:
                self._give_up_on(worker, f"it cannot take the configuration that is in force: {why.message}")
                return
            # It would fail again after a restart; what it has loaded so far is of more use than a worker less.
            LOG.error("A worker begins without the configuration that is in force: %s", why.message)
        self._has[worker] = generation
        self._bring_up(worker)
