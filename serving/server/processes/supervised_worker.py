"""One worker as its supervisor sees it, how it is started, and whether it hangs."""

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
from serving.server.processes.worker_links import Link

LOG = logging.getLogger("serving")

Run = Callable[[ServerOptions, int, socket.socket], int]

OPTIONS_EXIT = 2
BEAT_SECONDS = 1.0
"""So often each worker is asked for a sign of life."""

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_START_SECONDS = 600.0  # until it is ready: importing TensorFlow from a slow disk keeps Python's lock for long
_SILENT_BEATS = 2
_DUMP_SECONDS = 2.0  # for saying where it hangs
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(eq=False)
class Worker:
    """One process.

    Attributes:
        index: of `options.workers`.
        generation: of the configuration that it began with; see `Reloads`.
        ready: whether it answers requests.
        told: the last signal for one that hangs.
    """

    index: int
    pid: int
    link: Link
    generation: int
    born: float = dataclasses.field(default_factory=time.monotonic)
    ready: bool = False
    told: signal.Signals | None = None
    _beats: int = 0  # since its last sign of life

    def beat(self) -> bool:
        """Counts a beat. Returns whether the worker is to be asked for a sign of life: once, until it gives one."""
        self._beats += 1
        return self._beats == 1

    def lives(self) -> None:
        """Takes note of a sign of life."""
        self._beats = 0

    def is_silent(self) -> bool:
        """Whether it has owed a sign of life for a while: nobody should wait for it."""
        return self._beats > _SILENT_BEATS

    def verdict(self, seconds: float) -> signal.Signals | None:
        """The signal for a worker that has given no sign of life for longer than so many seconds, 0 for any time.

        SIGABRT first, at which it says where it hangs; SIGKILL where that does not end it. Time is counted in beats and
        not by the clock: where the whole machine stood still, its workers did as well.
        """
        silent = (self._beats - 1) * BEAT_SECONDS
        patience = seconds if self.ready else max(seconds, _START_SECONDS)
        if not seconds or silent < patience:
            return None
        return signal.SIGABRT if silent < patience + _DUMP_SECONDS else signal.SIGKILL


def fork(run: Run, options: ServerOptions, index: int, forget: Callable[[], None]) -> tuple[int, socket.socket]:
    """Starts a worker.

    Args:
        run: what it does: options, its index, its end of the control socket, to its exit code.
        options: of the server.
        index: of the worker.
        forget: called there; closes what is the supervisor's, the ends to its siblings above all: one that stayed open
            would hide the death of the supervisor from them.

    Returns:
        Its process id, and the supervisor's end of the socket pair.

    Raises:
        OSError: there are no more processes or descriptors.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    supervisor = os.getpid()
    # A signal between the fork and the child's own handlers would be lost in a copy of the supervisor's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    try:
        pid = os.fork()
        if pid == 0:
            _become(run, options, index, theirs, [forget, ours.close], supervisor, before)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return pid, ours


def _become(
    run: Run,
    options: ServerOptions,
    index: int,
    end: socket.socket,
    first: Iterable[Callable[[], None]],
    supervisor: int,
    mask: Iterable[int],
) -> NoReturn:
    """What the child does; it never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for one in HEEDED:
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for call in first:
            call()
        _end_with(supervisor)
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


def _end_with(supervisor: int) -> None:
    """Has Linux send SIGTERM when the supervisor dies; elsewhere the end of the control socket tells, if the event loop
    still runs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it died before that
            os._exit(0)
