"""`--workers N`: the supervisor of the processes that share the ports. It starts and restarts them and relays requests.

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

from serving.server.front.ports import reserve_ports
from serving.server.options import ServerOptions
from serving.server.processes.control_frames import Frame, FrameKind, decode_reload_failure
from serving.server.processes.model_config_file import ModelConfigFile
from serving.server.processes.reloads import UNKNOWN_GENERATION, ReloadCoordinator
from serving.server.processes.shutdown import KILL_SECONDS, SECOND_SIGNAL_SECONDS
from serving.server.processes.worker_links import WorkerLink, WorkerLinkError
from serving.server.processes.worker_metrics import WorkerMetrics
from serving.server.processes.worker_process import BEAT_SECONDS, OPTIONS_EXIT, SIGNALS, RunWorker, Worker, fork_worker
from serving.wire import protos

LOG = logging.getLogger("serving")

_ATTEMPTS = 3  # to start a worker, while none has ever been ready
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_MAX_DOUBLINGS = 20
_STABLE_SECONDS = 60.0  # a worker that lived this long has not failed at its start
_LAST_SECONDS = 0.5  # for killed workers to disappear


class Supervisor:
    """Runs `options.workers` processes until SIGTERM or SIGINT."""

    def __init__(self, options: ServerOptions, run: RunWorker) -> None:
        self._options, self._run = options, run
        self._workers: dict[int, Worker] = {}  # by index
        self._restarts = dict.fromkeys(range(options.workers), 0.0)  # time of the next start by index
        self._failures = dict.fromkeys(range(options.workers), 0)
        self._reloads: ReloadCoordinator[Worker] = ReloadCoordinator(options.models, self._send, self._kill_worker)
        self._metrics: WorkerMetrics[Worker] = WorkerMetrics(self._send)
        self._config_file = ModelConfigFile(options)
        self._next_beat = time.monotonic() + BEAT_SECONDS
        self._ever_ready = False
        self._kill_at: float | None = None  # None until the shutdown has begun
        self._exit_at: float | None = None  # None until workers have been killed
        self._exit_code = 0

    def run(self) -> int:
        """Returns the exit code: 0 after a signal.

        Raises:
            OptionsError: a port is in use.
        """
        with reserve_ports(self._options), selectors.DefaultSelector() as selector, _signal_socket() as (wake, pending):
            self._selector, self._wake, self._pending = selector, wake, pending
            selector.register(wake, selectors.EVENT_READ)
            while self._workers or self._kill_at is None:
                self._start_due()
                self._select()
                self._reap()
                self._handle_signals()
                self._do_scheduled_work()
                if self._exit_at is not None and time.monotonic() >= self._exit_at:
                    LOG.error("%d workers cannot be killed", len(self._workers))
                    break
        return self._exit_code

    def _select(self) -> None:
        for key, events in self._selector.select(self._seconds_to_wait()):
            if not isinstance(key.data, Worker):
                self._wake.recv(4096)
            elif events & selectors.EVENT_WRITE:
                key.data.link.flush()
                self._watch(key.data)
            else:
                self._receive(key.data)

    def _seconds_to_wait(self) -> float:
        """Seconds until something is due. At most a beat, even where options are infinite."""
        times: list[float | None] = [self._next_beat, self._metrics.next_expiry(), self._kill_at, self._exit_at]
        if self._kill_at is None:
            times += [self._config_file.due, *self._restarts.values()]
        return max(0.0, min(one for one in times if one is not None) - time.monotonic())

    def _do_scheduled_work(self) -> None:
        now = time.monotonic()
        self._metrics.expire(now)
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            for worker in list(self._workers.values()):
                self._check_alive(worker)
        if self._kill_at is None and (config := self._config_file.read_if_changed(now)) is not None:
            request = protos.ReloadConfigRequest(config=config).SerializeToString()
            log = self._config_file.log_result
            self._reloads.request_reload(request, lambda content: log(decode_reload_failure(content)))

    def _check_alive(self, worker: Worker) -> None:
        if worker.count_beat():
            self._send(worker, FrameKind.DO_METRICS, 0)
        which = worker.signal_if_hanging(self._options.worker_timeout_seconds)
        if which is not None:
            if which != worker.last_signal:
                LOG.error("worker %d (process %d) hangs; sending it %s", worker.index, worker.pid, which.name)
            worker.last_signal = which
            _send_signal(worker, which)

    def _start_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, due in self._restarts.items() if due <= now and self._kill_at is None]:
            del self._restarts[index]
            self._start(index)

    def _start(self, index: int) -> None:
        models, generation = self._initial_config()
        options = dataclasses.replace(self._options, models=models)
        try:
            pid, end = fork_worker(self._run, options, index, self._close_in_child)
        except OSError as error:
            self._restart(index, f"worker {index} cannot be started ({error})")
            return
        worker = self._workers[index] = Worker(index, pid, WorkerLink(end), generation)
        self._selector.register(worker.link, selectors.EVENT_READ, worker)

    def _close_in_child(self) -> None:
        self._selector.close()
        self._wake.close()
        for worker in self._workers.values():
            worker.link.close()

    def _initial_config(self) -> tuple[Any, int]:
        """What a new worker loads first: the configuration in force, without labels, which need a served version."""
        config = self._reloads.config
        models = config.model_config_list.config
        if self._options.allow_version_labels_for_unavailable_models or not any(one.version_labels for one in models):
            return config, self._reloads.generation
        if not self._ever_ready:  # labels of missing versions are refused, as without workers
            return config, self._reloads.generation
        bare = protos.ModelServerConfig.FromString(config.SerializeToString())
        for one in bare.model_config_list.config:
            one.version_labels.clear()
        return bare, UNKNOWN_GENERATION

    def _receive(self, worker: Worker) -> None:
        try:
            frames = worker.link.receive()
        except WorkerLinkError as error:
            self._kill_worker(worker, str(error))
            frames = None
        if frames is None:
            self._selector.unregister(worker.link)  # it is dying; `_reap` does the rest
            return
        for frame in frames:
            self._handle_frame(worker, frame)

    def _handle_frame(self, worker: Worker, frame: Frame) -> None:
        kind, number, content = frame
        worker.record_reply()
        if kind is FrameKind.METRICS:
            self._metrics.record(worker, number, content)
        elif kind is FrameKind.RELOADED:
            self._reloads.worker_reloaded(worker, number, content)
        elif kind is FrameKind.LOADED:
            self._reloads.worker_loaded(worker, worker.generation)
        elif kind is FrameKind.READY:
            worker.ready = self._ever_ready = True
            LOG.info("worker %d (process %d) is ready", worker.index, worker.pid)
        elif kind is FrameKind.REQUEST_RELOAD:
            self._reloads.request_reload(content, functools.partial(self._reply, worker, number))
        elif kind is FrameKind.REQUEST_METRICS:
            responsive = [one for one in self._workers.values() if one.ready and not one.is_silent()]
            self._metrics.collect(responsive, functools.partial(self._reply, worker, number), time.monotonic())

    def _reply(self, worker: Worker, number: int, content: bytes) -> None:
        """Replies to a worker, if it is still alive."""
        if self._workers.get(worker.index) is worker:
            self._send(worker, FrameKind.REPLY, number, content)

    def _send(self, worker: Worker, kind: FrameKind, number: int, content: bytes = b"") -> None:
        try:
            worker.link.send(kind, number, content)
        except WorkerLinkError as error:
            self._kill_worker(worker, str(error))
        self._watch(worker)

    def _watch(self, worker: Worker) -> None:
        """Has the selector report when the worker can take more, while something is unsent."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.link.has_unsent else 0)
        with contextlib.suppress(KeyError):  # it is dying
            if self._selector.get_key(worker.link).events != events:
                self._selector.modify(worker.link, events, worker)

    def _kill_worker(self, worker: Worker, why: str) -> None:
        LOG.error("worker %d (process %d) is killed: %s", worker.index, worker.pid, why)
        _send_signal(worker, signal.SIGKILL)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._remove_dead(worker, os.waitstatus_to_exitcode(status))

    def _remove_dead(self, worker: Worker, code: int) -> None:
        del self._workers[worker.index]
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.link)
        worker.link.close()
        self._metrics.worker_died(worker)
        self._reloads.worker_died(worker)
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
        """Schedules a worker's start after a pause, which grows with each failure at the start."""
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures[index], _MAX_DOUBLINGS), _LONGEST_PAUSE)
        self._failures[index] += 1
        LOG.error("%s; starting it again in %.1f s", why, pause)
        self._restarts[index] = time.monotonic() + pause

    def _handle_signals(self) -> None:
        """Acts on the signals that have arrived."""
        now = time.monotonic()
        if self._pending and self._kill_at is None:
            LOG.info("%s: draining", signal.Signals(self._pending[0][0]).name)
            self._stop(0)
        elif self._kill_at is not None and self._exit_at is None:
            again = any(when - self._pending[0][1] > SECOND_SIGNAL_SECONDS for _, when in self._pending)
            if again or now >= self._kill_at:
                self._exit_at = now + _LAST_SECONDS
                for worker in self._workers.values():
                    LOG.error("worker %d has not ended and is killed", worker.index)
                    _send_signal(worker, signal.SIGKILL)

    def _stop(self, code: int) -> None:
        self._exit_code, self._kill_at = code, time.monotonic() + self._options.drain_seconds + KILL_SECONDS
        for worker in self._workers.values():
            _send_signal(worker, signal.SIGTERM)


def _send_signal(worker: Worker, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, which)


@contextlib.contextmanager
def _signal_socket() -> Iterator[tuple[socket.socket, list[tuple[int, float]]]]:
    """A socket that wakes the loop on SIGTERM, SIGINT and SIGCHLD; and which of the first two arrived, and when."""
    pending: list[tuple[int, float]] = []
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)

    def note(number: int, frame: Any) -> None:
        if number != signal.SIGCHLD:
            pending.append((number, time.monotonic()))

    old = {which: signal.signal(which, note) for which in SIGNALS}
    before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    try:
        yield read, pending
    finally:
        signal.set_wakeup_fd(before)
        for which, handler in old.items():
            signal.signal(which, handler)
        read.close()
        write.close()
