"""The further processes of a training on PyTorch: copies of this one, one for each further device."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from models.child_processes import tied_to_parent
from models.errors import TrainingError
from models.training.frameworks.process_group import LOCAL_RANK, LOCAL_SIZE, RANK, RENDEZVOUS, SIZE

_SECONDS_FOR_OWN_ERROR = 10.0  # in which an error of all processes ends this one, too
_SECONDS_TO_SEE_WHY = 2.0
_SECONDS_TO_END = 60.0


def is_first() -> bool:
    """Whether this process is not one of the further ones."""
    return os.environ.get(RANK, "0") == "0"


@contextlib.contextmanager
def replica_processes(count: int, folder: Path, on_failure: Callable[[TrainingError], None]) -> Iterator[list[int]]:
    """Within the block, this process is the first of `count` that train together.

    The further ones are started like this one and end with it.

    Args:
        folder: for the file by which they find each other.
        on_failure: called in a thread if one of them ends early and this one goes on waiting for it. Then this process
            ends, too.

    Raises:
        TrainingError: one of them ended early.

    Yields:
        The descriptors of the further processes' standard input.
    """
    if count == 1 or SIZE in os.environ:
        yield []
        return
    meeting = folder / "rendezvous"
    meeting.unlink(missing_ok=True)  # of a former training
    shared = {SIZE: str(count), LOCAL_SIZE: str(count), RENDEZVOUS: str(meeting)}
    processes = [_start({**shared, RANK: str(rank), LOCAL_RANK: str(rank)}) for rank in range(1, count)]
    os.environ.update({**shared, RANK: "0", LOCAL_RANK: "0"})
    ended = threading.Event()
    for rank, process in enumerate(processes, start=1):
        threading.Thread(target=_watch, args=(process, rank, ended, on_failure), daemon=True).start()
    try:
        yield [process.stdin.fileno() for process in processes if process.stdin is not None]
        with contextlib.suppress(subprocess.TimeoutExpired):
            for process in processes:
                process.wait(_SECONDS_TO_END)
    except (RuntimeError, OSError) as error:  # what a connection raises whose other end is gone
        for rank, process in enumerate(processes, start=1):
            with contextlib.suppress(subprocess.TimeoutExpired):
                if status := process.wait(_SECONDS_TO_SEE_WHY):
                    raise _has_ended(rank, status) from error
        raise
    finally:
        ended.set()
        for process in processes:
            process.kill()
            process.wait()


def _start(variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A copy of this process. It prints where this one prints."""
    command = tied_to_parent([sys.executable, *sys.orig_argv[1:]])
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **variables})


def _watch(
    process: subprocess.Popen[bytes], rank: int, ended: threading.Event, on_failure: Callable[[TrainingError], None]
) -> None:
    status = process.wait()
    if status == 0 or ended.wait(_SECONDS_FOR_OWN_ERROR):
        return
    on_failure(_has_ended(rank, status))
    os._exit(1)


def _has_ended(rank: int, status: int) -> TrainingError:
    return TrainingError(
        f"process {rank} of the training has ended",
        got=f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}",
        expected="that all processes train to the end",
        fix="look for its error in the log; if there is none, free some memory, or lower train.devices",
    )
