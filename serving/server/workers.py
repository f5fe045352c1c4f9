"""`--workers N`: processes that share the ports, and the supervisor that starts them, restarts them and passes on.

The supervisor imports neither TensorFlow nor gRPC and runs no threads, so that it can fork at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from serving import protos
from serving.errors import OptionsError
from serving.server import control
from serving.server.addresses import held
from serving.server.options import ServerOptions

LOG = logging.getLogger("serving")

Run = Callable[[ServerOptions, int, socket.socket], int]

OPTIONS_EXIT = 2
_ATTEMPTS = 3  # of a worker, while none has ever been ready
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_STABLE_SECONDS = 60.0  # a worker that lived so long has not failed at once
_KILL_AFTER = 10.0  # seconds beyond the time to drain
_SEND_SECONDS = 10.0
_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclasses.dataclass(eq=False)
class _Worker:
    index: int
    pid: int
    end: socket.socket
    born: float
    reloads: int  # how many there had been when it began
    ready: bool = False
    buffer: bytearray = dataclasses.field(default_factory=bytearray)


@dataclasses.dataclass(eq=False)
class _Round:
    """Something that all workers are doing because one of them asked (None: the supervisor)."""

    kind: int
    asker: _Worker | None
    asked: int
    content: bytes
    left: set[_Worker]
    done: list[bytes] = dataclasses.field(default_factory=list)


class Supervisor:
    """Runs `options.workers` processes until SIGTERM or SIGINT.

    Args:
        options: of the server.
        run: what a worker does: options, its index, its end of the control socket, to its exit code.
    """

    def __init__(self, options: ServerOptions, run: Run) -> None:
        self._options, self._run = options, run
        self._workers: dict[int, _Worker] = {}  # by index
        self._restarts: dict[int, float] = {}  # index to the time of its next start
        self._failures = dict.fromkeys(range(options.workers), 0)
        self._rounds: dict[int, _Round] = {}
        self._next_round = 1
        self._reloads = 0
        self._ever_ready = False
        self._stop_by: float | None = None
        self._exit = 0

    def run(self) -> int:
        """Returns the exit code: 0 after a signal, else what went wrong.

        Raises:
            OptionsError: a port is taken.
        """
        with held(self._options), selectors.DefaultSelector() as selector, _signals() as (wake, pending):
            self._selector, self._pending, self._wake = selector, pending, wake
            selector.register(wake, selectors.EVENT_READ)
            self._restarts = dict.fromkeys(range(self._options.workers), 0.0)
            while self._workers or self._stop_by is None:
                self._start_due()
                for key, _ in selector.select(self._patience()):
                    if isinstance(key.data, _Worker):
                        self._read(key.data)
                    else:
                        wake.recv(4096)
                self._reap()
                self._obey()
        return self._exit

    def _patience(self) -> float | None:
        times = list(self._restarts.values()) if self._stop_by is None else [self._stop_by]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _start_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, due in self._restarts.items() if due <= now and self._stop_by is None]:
            del self._restarts[index]
            self._start(index)

    def _start(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between the fork and the child's own handlers would be lost in a copy of `_pending`.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
        pid = os.fork()
        if pid == 0:
            self._become_worker(index, theirs, ours, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        ours.settimeout(_SEND_SECONDS)
        worker = self._workers[index] = _Worker(index, pid, ours, time.monotonic(), self._reloads)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _become_worker(self, index: int, end: socket.socket, other: socket.socket, mask: Any) -> None:
        """What the child does; it never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for one in _HEEDED:
                signal.signal(one, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            # An end that stayed open here would hide the death of the supervisor from the other workers.
            for held_end in (other, self._wake, *(worker.end for worker in self._workers.values())):
                held_end.close()
            code = self._run(self._options, index, end)
        except OptionsError as error:
            LOG.error("worker %d: %s", index, error)
            code = OPTIONS_EXIT
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            LOG.exception("worker %d failed", index)
            raise
        finally:
            logging.shutdown()
            os._exit(code)

    def _read(self, worker: _Worker) -> None:
        try:
            piece = worker.end.recv(2**16)
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(worker.end)  # it is dying: `_reap` does the rest
            return
        worker.buffer += piece
        for kind, number, content in control.frames(worker.buffer):
            if kind == control.READY:
                self._welcome(worker)
            elif kind == control.DONE:
                self._done(number, worker, content)
            elif kind == control.ASK_RELOAD:
                self._begin(control.DO_RELOAD, worker, number, content)
            elif kind == control.ASK_METRICS:
                self._begin(control.DO_METRICS, worker, number, content)

    def _welcome(self, worker: _Worker) -> None:
        worker.ready = self._ever_ready = True
        LOG.info("worker %d (process %d) is ready", worker.index, worker.pid)
        if worker.reloads < self._reloads:  # it began with an older configuration
            request = protos.ReloadConfigRequest(config=self._options.models).SerializeToString()
            self._begin(control.DO_RELOAD, None, 0, request, [worker])

    def _begin(
        self, kind: int, asker: _Worker | None, asked: int, content: bytes, workers: list[_Worker] | None = None
    ) -> None:
        ready = [one for one in self._workers.values() if one.ready] if workers is None else workers
        number, self._next_round = self._next_round, self._next_round + 1
        self._rounds[number] = _Round(kind, asker, asked, content, set(ready))
        for worker in ready:
            self._send(worker, control.frame(kind, number, content))

    def _done(self, number: int, worker: _Worker, content: bytes) -> None:
        current = self._rounds[number]
        current.left.discard(worker)
        current.done.append(content)
        self._finish(number)

    def _finish(self, number: int) -> None:
        current = self._rounds[number]
        if current.left:
            return
        del self._rounds[number]
        if not current.done:  # all of them have died
            return
        if current.kind == control.DO_METRICS:
            answer = b"[" + b",".join(current.done) + b"]"
        else:
            answer = control.worst(current.done)
            if answer[0] == 0:
                config = protos.ReloadConfigRequest.FromString(current.content).config
                self._options = dataclasses.replace(self._options, models=config)
                self._reloads += current.asker is not None
        if current.asker in self._workers.values():
            self._send(current.asker, control.frame(control.ANSWER, current.asked, answer))

    def _send(self, worker: Any, content: bytes) -> None:
        try:
            worker.end.sendall(content)
        except OSError as error:  # it hangs or is dying; half of a message would confuse it for good
            LOG.error("worker %d does not listen (%s) and is killed", worker.index, error)
            _kill(worker.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        del self._workers[worker.index]
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.end)
        worker.end.close()
        for number, current in list(self._rounds.items()):
            if worker in current.left:
                current.left.discard(worker)
                self._finish(number)
        if self._stop_by is not None:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        lived = worker.ready and time.monotonic() - worker.born >= _STABLE_SECONDS
        failures = self._failures[worker.index] = 1 if lived else self._failures[worker.index] + 1
        if not self._ever_ready and (code == OPTIONS_EXIT or failures >= _ATTEMPTS):
            LOG.error("worker %d %s, and no worker has ever been ready: giving up", worker.index, how)
            self._stop(OPTIONS_EXIT if code == OPTIONS_EXIT else 1)
            return
        pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
        LOG.error("worker %d (process %d) %s; starting it again in %.1f s", worker.index, worker.pid, how, pause)
        self._restarts[worker.index] = time.monotonic() + pause

    def _obey(self) -> None:
        """Does what the signals that came say."""
        if self._pending and self._stop_by is None:
            LOG.info("%s: draining", signal.Signals(self._pending[0]).name)
            self._stop(0)
        if self._stop_by is not None and time.monotonic() >= self._stop_by:
            self._stop_by = float("inf")
            for worker in self._workers.values():
                LOG.error("worker %d is still not done and is killed", worker.index)
                _kill(worker.pid, signal.SIGKILL)

    def _stop(self, code: int) -> None:
        self._exit, self._stop_by = code, time.monotonic() + self._options.drain_seconds + _KILL_AFTER
        for worker in self._workers.values():
            _kill(worker.pid, signal.SIGTERM)


def _kill(pid: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)


@contextlib.contextmanager
def _signals() -> Any:
    """A socket that wakes the loop at SIGTERM, SIGINT and SIGCHLD, and the list of the first two that came."""
    pending: list[int] = []
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)
    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: lambda number, frame: pending.append(number),
        signal.SIGINT: lambda number, frame: pending.append(number),
        signal.SIGCHLD: lambda number, frame: None,
    }
    old = {which: signal.signal(which, handler) for which, handler in handlers.items()}
    before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    try:
        yield read, pending
    finally:
        signal.set_wakeup_fd(before)
        for which, handler in old.items():
            signal.signal(which, handler)
        read.close()
        write.close()
