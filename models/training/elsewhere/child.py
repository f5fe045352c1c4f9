"""The child process: trains on the framework that Keras runs on here.

It writes messages (`models.training.elsewhere.messages`) to what was its standard output when it started; whatever is
printed goes to standard error. One byte on standard input tells that the initial weights are there.

On PyTorch, several devices have a process each: this one starts the others, which write nothing but their errors.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras

from models import heap
from models.config import may_train_in_parts
from models.errors import TransomError
from models.runtime import one_thread_per_operation
from models.training.elsewhere.handover import INITIAL, TRAINED, load_weights, save_weights
from models.training.elsewhere.messages import Messages
from models.training.elsewhere.replica_processes import is_first, replica_processes
from models.training.training_request import Request


def main(folder: Path, output: int) -> int:
    """Trains what the folder's request asks for. The exit code is 1 if another message than `finished` was the last.

    Args:
        output: file descriptor for the messages.
    """
    heap.keep_loaded()
    first = is_first()
    messages = Messages(os.fdopen(output if first else os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    try:
        request = Request.load(folder)
        with replica_processes(_count(request), folder, messages.stopped) as others:
            _train(request, folder, messages, others)
    except (TransomError, OSError, KeyboardInterrupt) as error:
        if isinstance(error, OSError):
            if error.errno is None:  # a library's, not the system's
                raise
            with contextlib.suppress(OSError):  # the disk may be full
                traceback.print_exc()
        messages.stopped(error)
        if isinstance(error, TransomError) and not first:
            sys.stderr.write(f"{error}\n")
        return 1 if first or not isinstance(error, KeyboardInterrupt) else 0
    return 0


def _count(request: Request) -> int:
    """The processes that train together."""
    if keras.backend.backend() != "torch":
        return 1
    from models.training.frameworks.torch_group import count_processes

    return count_processes(request.config.train)


def _train(request: Request, folder: Path, messages: Messages, others: list[int]) -> None:
    """Trains; `others`: descriptors of the further processes' standard input."""
    if not is_first():
        request = replace(request, checkpoint_dir=None, log_dir=None)

    def make_model() -> keras.Model:
        model = request.build(request.architecture)
        _wait_for_weights()
        for descriptor in others:
            os.write(descriptor, b"\n")
        others.clear()
        load_weights(model, folder / INITIAL)
        return model

    if may_train_in_parts(request.config.model, request.config.train):
        one_thread_per_operation()
    trained = request.train(make_model, on_progress=messages.progress, on_note=messages.note)
    if not is_first():
        return
    save_weights(trained.model, folder / TRAINED)
    kept = trained.checkpoint
    messages.finished(
        {
            "report": trained.report,
            "temperatures": trained.labels.temperatures,
            "threshold": trained.task.threshold,
            "checkpoint": [None if kept.folder is None else str(kept.folder), kept.step],
        }
    )


@cache
def _wait_for_weights() -> None:
    """Waits until the parent has written the initial weights.

    Raises:
        KeyboardInterrupt: the parent has ended or given up.
    """
    if not sys.stdin.buffer.read(1):
        raise KeyboardInterrupt
