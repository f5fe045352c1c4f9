"""The one configuration of all workers: which is in force, the order of its changes, and which workers have it.

A reload is in force once every worker has taken it. If one refuses it, those that took it go back to the configuration
in force. A worker that starts later gets the configuration in force before it opens its ports.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from serving.errors import Code
from serving.server.processes.control_frames import FrameKind, decode_reload_failure, took_effect
from serving.wire import protos

LOG = logging.getLogger("serving")

W = TypeVar("W")
Reply = Callable[[bytes], None]
SendFrame = Callable[[W, FrameKind, int, bytes], None]

UNKNOWN_GENERATION = -1
"""Of a worker that may serve any configuration."""


@dataclasses.dataclass(eq=False)
class _Reload(Generic[W]):
    """A configuration on its way to workers.

    Attributes:
        generation: that the workers have afterwards, None for one that is not in force yet.
        request: a serialized `ReloadConfigRequest`.
        reply: called with the result.
        left: workers that have not reloaded yet.
        done: the results of the others.
    """

    generation: int | None
    request: bytes
    reply: Reply | None = None
    left: set[W] = dataclasses.field(default_factory=set)
    done: dict[W, bytes] = dataclasses.field(default_factory=dict)


class ReloadCoordinator(Generic[W]):
    """See the module.

    Args:
        config: the first `ModelServerConfig`.
        kill: ends a worker that serves another configuration than the rest and cannot go back to the one in force.

    Attributes:
        config: the configuration in force.
        generation: how many there have been before it.
    """

    def __init__(self, config: Any, send: SendFrame[W], kill: Callable[[W, str], None]) -> None:
        self.config, self.generation = config, 0
        self._send, self._kill = send, kill
        self._generations: dict[W, int] = {}  # of each worker that has loaded its models
        self._opened: set[W] = set()
        self._numbers = itertools.count(1)
        self._running: dict[int, _Reload[W]] = {}
        self._queue: deque[_Reload[W]] = deque()
        self._changing = False

    def request_reload(self, request: bytes, reply: Reply) -> None:
        """Reloads all workers, after earlier requests.

        Args:
            request: a serialized `ReloadConfigRequest`.
            reply: called with content for `decode_reload_failure`; never if all workers have died of the reload.
        """
        self._queue.append(_Reload(None, request, reply))
        self._start_next()

    def worker_loaded(self, worker: W, generation: int) -> None:
        """A worker has loaded the configuration of a generation."""
        self._generations[worker] = generation
        self._update_worker(worker)

    def worker_died(self, worker: W) -> None:
        """A worker has died; it may be unknown."""
        self._generations.pop(worker, None)
        self._opened.discard(worker)
        for number, reload in list(self._running.items()):
            reload.done.pop(worker, None)
            if worker in reload.left:
                self._finish_worker(number, worker)

    def worker_reloaded(self, worker: W, number: int, content: bytes) -> None:
        """A worker has finished a reload."""
        reload = self._running.get(number)
        if reload is not None and worker in reload.left:
            reload.done[worker] = content
            self._finish_worker(number, worker)

    def _start_next(self) -> None:
        if self._changing or not self._queue:
            return
        self._changing = True
        self._send_reload(self._queue.popleft(), set(self._generations))

    def _send_reload(self, reload: _Reload[W], workers: set[W]) -> None:
        number = next(self._numbers)
        self._running[number], reload.left = reload, set(workers)
        for worker in workers:
            self._send(worker, FrameKind.DO_RELOAD, number, reload.request)
        if not workers:  # no worker can refuse it: the next one starts with it
            del self._running[number]
            self._put_in_force(reload.request)
            self._finish_change(reload, b"\0")

    def _finish_worker(self, number: int, worker: W) -> None:
        """Removes a worker from those left to a reload."""
        reload = self._running[number]
        reload.left.discard(worker)
        if reload.left:
            return
        del self._running[number]
        if reload.generation is None:
            self._decide(reload)
        elif worker in reload.done:
            self._worker_updated(worker, reload.generation, reload.done[worker])

    def _decide(self, reload: _Reload[W]) -> None:
        """Puts a reload in force, or takes it back, when all workers that are still alive have taken or refused it."""
        took = [worker for worker, content in reload.done.items() if took_effect(content)]
        refused = [worker for worker in reload.done if worker not in took]
        if took and not refused:
            self._put_in_force(reload.request)
        for worker, content in reload.done.items():
            if worker in took:
                self._generations[worker] = UNKNOWN_GENERATION if refused else self.generation
            elif content[0] == Code.INTERNAL.number:  # the reload may have stopped anywhere
                self._generations[worker] = UNKNOWN_GENERATION
        if took and refused:
            LOG.error("%d of %d workers refused a reload: it is rolled back", len(refused), len(reload.done))
        failures = [content for content in reload.done.values() if decode_reload_failure(content) is not None]
        results = sorted(failures, key=took_effect) or list(reload.done.values())
        self._finish_change(reload, results[0] if results else None)

    def _put_in_force(self, request: bytes) -> None:
        self.config = protos.ReloadConfigRequest.FromString(request).config
        self.generation += 1

    def _finish_change(self, reload: _Reload[W], result: bytes | None) -> None:
        self._changing = False
        if reload.reply is not None and result is not None:
            reload.reply(result)
        for worker in list(self._generations):
            self._update_worker(worker)
        self._start_next()

    def _update_worker(self, worker: W) -> None:
        """Lets a worker open its ports if it has the configuration in force; otherwise sends it that configuration."""
        if self._generations[worker] == self.generation:
            if worker not in self._opened:
                self._opened.add(worker)
                self._send(worker, FrameKind.OPEN, 0, b"")
        elif not any(one.generation is not None and worker in one.left for one in self._running.values()):
            request = protos.ReloadConfigRequest(config=self.config).SerializeToString()
            self._send_reload(_Reload(self.generation, request), {worker})

    def _worker_updated(self, worker: W, generation: int, content: bytes) -> None:
        failure = decode_reload_failure(content)
        if failure is not None and not took_effect(content):
            if worker in self._opened:
                self._kill(worker, f"it cannot load the configuration in force: {failure.message}")
                return
            # It would fail again after a restart. Serving what it has loaded so far is better than one worker less.
            LOG.error("A worker starts without the configuration in force: %s", failure.message)
        self._generations[worker] = generation
        self._update_worker(worker)
