"""`--workers N`: processes that share the ports, and the supervisor that starts them, restarts them and passes on.

The supervisor imports neither TensorFlow nor gRPC and runs no threads, so that it can fork at any time. It never waits
for a single worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from serving.server.front.addresses import held
from serving.server.options import ServerOptions
from serving.server.processes.frames import Frame, Kind
from serving.server.processes.model_config_file import ConfigFile
from serving.server.processes.reloads import UNKNOWN_GENERATION, Reloads
from serving.server.processes.shutdown import KILL_SECONDS, SECOND_SIGNAL_SECONDS
from serving.server.processes.supervised_worker import BEAT_SECONDS, HEEDED, OPTIONS_EXIT, Run, Worker, fork
from serving.server.processes.worker_links import Link, LinkError
from serving.server.processes.worker_metrics import Heard
from serving.wire import protos

LOG = logging.getLogger("serving")

_ATTEMPTS = 3  # of a worker, while none has ever been ready
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_MAX_DOUBLINGS = 20
_STABLE_SECONDS = 60.0  # a worker that lived so long has not failed at once
_LAST_SECONDS = 0.5  # for killed workers to be gone


class Supervisor:
    """Runs `options.workers` processes until SIGTERM or SIGINT.

    Args:
        options: of the server.
        run: what a worker does: options, its index, its end of the control socket, to its exit code.
    """

    def __init__(self, options: ServerOptions, run: Run) -> None:
        self._options, self._run = options, run
        self._workers: dict[int, Worker] = {}  # by index
        self._restarts = dict.fromkeys(range(options.workers), 0.0)  # index to the time of its next start
        self._failures = dict.fromkeys(range(options.workers), 0)
        self._reloads: Reloads[Worker] = Reloads(options.models, self._send, self._give_up_on)
        self._heard: Heard[Worker] = Heard(self._send)
        self._file = ConfigFile(options)
        self._next_beat = time.monotonic() + BEAT_SECONDS
        self._ever_ready = False
        self._kill_at: float | None = None  # None until the end has begun
        self._leave_at: float | None = None  # None until workers have been killed
        self._exit = 0

    def run(self) -> int:
        """Returns the exit code: 0 after a signal, else what went wrong.

        Raises:
            OptionsError: a port is taken.
        """
        with held(self._options), selectors.DefaultSelector() as selector, _signals() as (wake, pending):
            self._selector, self._wake, self._pending = selector, wake, pending
            selector.register(wake, selectors.EVENT_READ)
            while self._workers or self._kill_at is None:
                self._start_due()
                self._select()
                self._reap()
                self._obey()
                self._look_at_the_clock()
                if self._leave_at is not None and time.monotonic() >= self._leave_at:
                    LOG.error("%d workers cannot be killed", len(self._workers))
                    break
        return self._exit

    def _select(self) -> None:
        for key, events in self._selector.select(self._patience()):
            if not isinstance(key.data, Worker):
                self._wake.recv(4096)
            elif events & selectors.EVENT_WRITE:
                key.data.link.flush()
                self._watch(key.data)
            else:
                self._listen(key.data)

    def _patience(self) -> float:
        """Seconds until something is to be done. Never long: what is infinite elsewhere must not be so here."""
        times: list[float | None] = [self._next_beat, self._heard.due(), self._kill_at, self._leave_at]
        if self._kill_at is None:
            times += [self._file.due(), *self._restarts.values()]
        return max(0.0, min(one for one in times if one is not None) - time.monotonic())

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        self._heard.expire(now)
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            for worker in list(self._workers.values()):
                self._beat(worker)
        if self._kill_at is None and (config := self._file.changed(now)) is not None:
            request = protos.ReloadConfigRequest(config=config).SerializeToString()
            self._reloads.ask(request, self._file.tell)

    def _beat(self, worker: Worker) -> None:
        if worker.beat():
            self._send(worker, Kind.DO_METRICS, 0)
        which = worker.verdict(self._options.worker_timeout_seconds)
        if which is not None:
            if which != worker.told:
                LOG.error("worker %d (process %d) hangs; sending it %s", worker.index, worker.pid, which.name)
            worker.told = which
            _kill(worker, which)

    def _start_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, due in self._restarts.items() if due <= now and self._kill_at is None]:
            del self._restarts[index]
            self._start(index)

    def _start(self, index: int) -> None:
        models, generation = self._to_begin_with()
        options = dataclasses.replace(self._options, models=models)
        try:
            pid, end = fork(self._run, options, index, self._forget)
        except OSError as error:
            self._restart(index, f"worker {index} cannot be started ({error})")
            return
        worker = self._workers[index] = Worker(index, pid, Link(end), generation)
        self._selector.register(worker.link, selectors.EVENT_READ, worker)

    def _forget(self) -> None:
        self._selector.close()
        self._wake.close()
        for worker in self._workers.values():
            worker.link.close()

    def _to_begin_with(self) -> tuple[Any, int]:
        """What a new worker loads first: what is in force, without labels. A label needs a version that is served."""
        config = self._reloads.config
        models = config.model_config_list.config
        if self._options.allow_version_labels_for_unavailable_models or not any(one.version_labels for one in models):
            return config, self._reloads.generation
        if not self._ever_ready:  # one that names what is not there is refused, as without workers
            return config, self._reloads.generation
        bare = protos.ModelServerConfig.FromString(config.SerializeToString())
        for one in bare.model_config_list.config:
            one.version_labels.clear()
        return bare, UNKNOWN_GENERATION

    def _listen(self, worker: Worker) -> None:
        try:
            frames = worker.link.receive()
        except LinkError as error:
            self._give_up_on(worker, str(error))
            frames = None
        if frames is None:
            self._selector.unregister(worker.link)  # it is dying: `_reap` does the rest
            return
        for one in frames:
            self._hear(worker, one)

    def _hear(self, worker: Worker, one: Frame) -> None:
        kind, number, content = one
        worker.lives()
        if kind is Kind.COUNTED:
            self._heard.heard(worker, number, content)
        elif kind is Kind.RELOADED:
            self._reloads.done(worker, number, content)
        elif kind is Kind.LOADED:
            self._reloads.join(worker, worker.generation)
        elif kind is Kind.READY:
            worker.ready = self._ever_ready = True
            LOG.info("worker %d (process %d) is ready", worker.index, worker.pid)
        elif kind is Kind.ASK_RELOAD:
            self._reloads.ask(content, functools.partial(self._answer, worker, number))
        elif kind is Kind.ASK_METRICS:
            speaking = [one for one in self._workers.values() if one.ready and not one.is_silent()]
            self._heard.ask(speaking, functools.partial(self._answer, worker, number), time.monotonic())

    def _answer(self, worker: Worker, number: int, content: bytes) -> None:
        """To who asked, if it still lives."""
        if self._workers.get(worker.index) is worker:
            self._send(worker, Kind.ANSWER, number, content)

    def _send(self, worker: Worker, kind: Kind, number: int, content: bytes = b"") -> None:
        try:
            worker.link.send(kind, number, content)
        except LinkError as error:
            self._give_up_on(worker, str(error))
        self._watch(worker)

    def _watch(self, worker: Worker) -> None:
        """Waits for when the worker takes more, while something is kept for it."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.link.waits else 0)
        with contextlib.suppress(KeyError):  # it is dying
            if self._selector.get_key(worker.link).events != events:
                self._selector.modify(worker.link, events, worker)

    def _give_up_on(self, worker: Worker, why: str) -> None:
        LOG.error("worker %d (process %d) is killed: %s", worker.index, worker.pid, why)
        _kill(worker, signal.SIGKILL)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: Worker, code: int) -> None:
        del self._workers[worker.index]
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.link)
        worker.link.close()
        self._heard.leave(worker)
        self._reloads.leave(worker)
        if self._kill_at is not None:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if worker.ready and time.monotonic() - worker.born >= _STABLE_SECONDS:
            self._failures[worker.index] = 0
        if not self._ever_ready and (code == OPTIONS_EXIT or self._failures[worker.index] + 1 >= _ATTEMPTS):
            LOG.error("worker %d %s, and no worker has ever been ready: giving up", worker.index, how)
            self._stop(OPTIONS_EXIT if code == OPTIONS_EXIT else 1)
            return
        self._restart(worker.index, f"worker {worker.index} (process {worker.pid}) {how}")

    def _restart(self, index: int, why: str) -> None:
        """Starts a worker after a pause, longer each time that it has failed at once."""
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures[index], _MAX_DOUBLINGS), _LONGEST_PAUSE)
        self._failures[index] += 1
        LOG.error("%s; starting it again in %.1f s", why, pause)
        self._restarts[index] = time.monotonic() + pause

    def _obey(self) -> None:
        """Does what the signals that came say."""
        now = time.monotonic()
        if self._pending and self._kill_at is None:
            LOG.info("%s: draining", signal.Signals(self._pending[0][0]).name)
            self._stop(0)
        elif self._kill_at is not None and self._leave_at is None:
            insists = any(when - self._pending[0][1] > SECOND_SIGNAL_SECONDS for _, when in self._pending)
            if insists or now >= self._kill_at:
                self._leave_at = now + _LAST_SECONDS
                for worker in self._workers.values():
                    LOG.error("worker %d is still not done and is killed", worker.index)
                    _kill(worker, signal.SIGKILL)

    def _stop(self, code: int) -> None:
        self._exit, self._kill_at = code, time.monotonic() + self._options.drain_seconds + KILL_SECONDS
        for worker in self._workers.values():
            _kill(worker, signal.SIGTERM)


def _kill(worker: Worker, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, which)


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, list[tuple[int, float]]]]:
    """A socket that wakes the loop at SIGTERM, SIGINT and SIGCHLD, and which of the first two came, and when."""
    pending: list[tuple[int, float]] = []
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)

    def note(number: int, frame: Any) -> None:
        if number != signal.SIGCHLD:
            pending.append((number, time.monotonic()))

    old = {which: signal.signal(which, note) for which in HEEDED}
    before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    try:
        yield read, pending
    finally:
        signal.set_wakeup_fd(before)
        for which, handler in old.items():
            signal.signal(which, handler)
        read.close()
        write.close()
