"""A step in a process of its own, forked from the one that has loaded TensorFlow and TFX: it need not load them again.

It gives all its memory back when it ends, cannot take the run with it when it crashes, and leaves this process free to
run other steps meanwhile. No TensorFlow, no TFX.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NoReturn

from models.child_processes import tie_forked
from models.errors import TransomError
from models.training.resuming.stopping import SIGNALS
from pipeline.runs.error_causes import is_disk_full, known_error
from pipeline.runs.interruption import interruptible, is_interruption
from pipeline.runs.local.step_logs import StepLog
from pipeline.terminal.user_messages import IN_LOG, log_handler

_LOGGERS = ("transom", "transom.progress")
_OF_MESSAGES = ("name", "levelno", "levelname", "amounts")


@dataclass
class StepProcess:
    """A step that runs in a process of its own, and what it has sent so far.

    Attributes:
        connection: has something to read, for `receive`, while the process lives and when it has ended.
        log: gets all output of the process; None: this process's standard error does.
        used: `peak_memory_bytes` (resident, with what it shares with this process) and `cpu_seconds`, both with its
            children; empty until it has ended.
    """

    step: str
    pid: int
    connection: Connection
    log: StepLog | None = None
    used: dict[str, float] = field(default_factory=dict)
    _result: bytes | None = None
    _error: BaseException | None = None

    @classmethod
    def start(cls, step: str, function: Callable[[], bytes], log: StepLog | None = None) -> StepProcess:
        """Starts a process that computes the function, and hands its result or its exception back."""
        reader, writer = multiprocessing.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the child has handlers of its own, a signal would call this process's there.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            parent, pid = os.getpid(), os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        if pid == 0:
            _run(function, writer, parent, mask, log)
        writer.close()
        process = cls(step, pid, reader, log)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # runs the handler of a signal that came meanwhile
        except BaseException:
            process.interrupt()
            while process.receive():
                pass
            os.waitpid(pid, 0)
            raise
        return process

    def receive(self) -> bool:
        """Handles one thing that the process has sent; returns False once it has ended."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return False
        if kind == "message":
            record = logging.makeLogRecord({**content, "step": self.step, IN_LOG: self.log is not None})
            logging.getLogger(record.name).handle(record)
        elif kind == "result":
            self._result = content
        else:
            self._error = content
        return True

    def result(self) -> bytes:
        """The result of the process, which has ended.

        Raises:
            BaseException: the function's.
            TransomError: the process was killed.
        """
        self.connection.close()
        _, status, usage = os.wait4(self.pid, 0)
        memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.used.update(peak_memory_bytes=memory, cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3))
        if self.log is not None:
            self.log.add(f"{memory / 1e6:,.0f} MB at most, {self.used['cpu_seconds']:,.1f} s of CPU")
            self.log.copy(to_end=True)
        if self._error is not None:
            raise self._error
        if self._result is not None:
            return self._result
        raise self._died(status)

    def _died(self, status: int) -> TransomError:
        if not os.WIFSIGNALED(status):
            return TransomError(f"{self.step}: its process ended", got=f"exit code {os.WEXITSTATUS(status)}")
        number = os.WTERMSIG(status)
        killed = number == signal.SIGKILL
        return TransomError(
            f"{self.step}: its process was killed",
            got=f"signal {number} ({signal.Signals(number).name})"
            + (", which Linux sends when memory runs out" if killed else ""),
            expected="a process that ends by itself",
            fix="see `dmesg`; free memory, or choose smaller settings, and run again: finished steps are not repeated"
            if killed
            else "read its log; if it looks like a bug in Transom, report it",
        )

    def interrupt(self) -> None:
        """Passes on a request to stop; the process ends cleanly, and a training keeps a checkpoint."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)  # a shell's background job ignores SIGINT


class StepCrashError(Exception):
    """An exception of a step's process that cannot be handed over itself; the text is its type and message."""


class _Sender(logging.Handler):
    """Sends messages to the user to the process that runs the steps."""

    def __init__(self, writer: Connection) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        kept = {name: vars(record)[name] for name in _OF_MESSAGES if name in vars(record)}
        self._writer.send(("message", {**kept, "msg": record.getMessage()}))


def _run(
    function: Callable[[], bytes], writer: Connection, parent: int, mask: Iterable[int], log: StepLog | None
) -> NoReturn:
    """The forked process, from its beginning to its end."""
    try:
        tie_forked(parent)
        sender = _Sender(writer)
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [sender], False
        if log is not None:
            log.redirect()
            # A message is in the log before anyone hears of it.
            logging.getLogger("transom").handlers.insert(0, log_handler())
        sent: tuple[str, bytes | BaseException]
        try:
            with interruptible():
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                sent = ("result", function())
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # what is done is told
        except BaseException as error:  # noqa: BLE001
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            if not is_interruption(error) and known_error(error) is None:
                traceback.print_exc()
            sent = ("error", _portable(error))
        with sender.lock or contextlib.nullcontext():  # a thread of a library may still send a message
            writer.send(sent)
            writer.close()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)  # without this process's exit handlers, which are the parent's


def _portable(error: BaseException) -> BaseException:
    """An exception that can be pickled and tells as much: its causes are lost on the way."""
    if is_disk_full(error):
        return OSError(errno.ENOSPC, str(error))
    if is_interruption(error):
        return error if isinstance(error, KeyboardInterrupt) else KeyboardInterrupt()
    known = known_error(error)
    if known is not None:
        return known
    try:
        loaded = pickle.loads(pickle.dumps(error))
        return error if type(loaded) is type(error) and str(loaded) == str(error) else StepCrashError(_text(error))
    except Exception:  # noqa: BLE001
        return StepCrashError(_text(error))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
