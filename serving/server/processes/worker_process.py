"""A worker as its supervisor sees it: how it is started, and whether it hangs."""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from serving.errors import OptionsError
from serving.server.options import ServerOptions
from serving.server.processes.worker_links import WorkerLink

LOG = logging.getLogger("serving")

RunWorker = Callable[[ServerOptions, int, socket.socket], int]
"""A worker's main function: from the options, its index and its end of the socket pair to its exit code."""

OPTIONS_EXIT = 2
BEAT_SECONDS = 1.0
"""Seconds between two heartbeats of each worker."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_START_SECONDS = 600.0  # until it is ready: importing TensorFlow from a slow disk holds Python's lock for long
_SILENT_BEATS = 2
_DUMP_SECONDS = 2.0  # for printing where it hangs
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(eq=False)
class Worker:
    """One process.

    Attributes:
        index: below `options.workers`.
        generation: of the configuration that it started with; see `ReloadCoordinator`.
        ready: whether it serves requests.
        last_signal: the last signal sent because it hangs.
    """

    index: int
    pid: int
    link: WorkerLink
    generation: int
    born: float = dataclasses.field(default_factory=time.monotonic)
    ready: bool = False
    last_signal: signal.Signals | None = None
    _beats: int = 0  # since its last reply

    def count_beat(self) -> bool:
        """Counts a heartbeat. Returns whether to send one, which is once until the worker replies."""
        self._beats += 1
        return self._beats == 1

    def record_reply(self) -> None:
        """Records a sign of life."""
        self._beats = 0

    def is_silent(self) -> bool:
        """Whether it has not replied for a while, so that nothing should wait for it."""
        return self._beats > _SILENT_BEATS

    def signal_if_hanging(self, seconds: float) -> signal.Signals | None:
        """The signal for a worker that has not replied for this many seconds; 0 for no limit.

        SIGABRT first, upon which it prints where it hangs; SIGKILL if that does not end it. Time is counted in beats
        rather than by the clock: when the whole machine is suspended, so are its workers.
        """
        silent = (self._beats - 1) * BEAT_SECONDS
        patience = seconds if self.ready else max(seconds, _START_SECONDS)
        if not seconds or silent < patience:
            return None
        return signal.SIGABRT if silent < patience + _DUMP_SECONDS else signal.SIGKILL


def fork_worker(
    run: RunWorker, options: ServerOptions, index: int, close_in_child: Callable[[], None]
) -> tuple[int, socket.socket]:
    """Starts a worker.

    Args:
        run: the worker's main function.
        close_in_child: called in the worker; closes the supervisor's files, above all its sockets to the other
            workers: one that stayed open would hide the death of the supervisor from them.

    Returns:
        The process id, and the supervisor's end of the socket pair.

    Raises:
        OSError: the system allows no more processes or descriptors.
    """
    supervisor_end, worker_end = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    supervisor = os.getpid()
    # Until the child has set its own handlers, a signal would be lost in its copies of the supervisor's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(run, options, index, worker_end, [close_in_child, supervisor_end.close], supervisor, before)
    except OSError:
        supervisor_end.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        worker_end.close()
    return pid, supervisor_end


def _run_child(
    run: RunWorker,
    options: ServerOptions,
    index: int,
    end: socket.socket,
    first: Iterable[Callable[[], None]],
    supervisor: int,
    mask: Iterable[int],
) -> NoReturn:
    """Runs the worker in the child process."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for call in first:
            call()
        _terminate_with(supervisor)
        faulthandler.enable(2)
        code = run(options, index, end)
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


def _terminate_with(supervisor: int) -> None:
    """Makes Linux send SIGTERM when the supervisor dies. Elsewhere the worker sees the socket pair close, if its event
    loop still runs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it has died already
            os._exit(0)
