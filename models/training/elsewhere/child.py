"""The child process: trains on the framework that Keras runs on here.

It writes messages (`models.training.elsewhere.messages`) to what was its standard output when it started; whatever is
printed goes to standard error. One byte on standard input tells that the initial weights are there.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import keras

from models.errors import TransomError
from models.training.elsewhere.handover import INITIAL, TRAINED, load_weights, save_weights
from models.training.elsewhere.messages import Messages
from models.training.training_request import Request


def main(folder: Path, output: int) -> int:
    """Trains what the folder's request asks for. The exit code is 1 if another message than `finished` was the last.

    Args:
        output: file descriptor for the messages.
    """
    messages = Messages(os.fdopen(output, "w", encoding="utf-8"))
    try:
        _train(folder, messages)
    except (TransomError, KeyboardInterrupt) as error:
        messages.stopped(error)
        return 1
    return 0


def _train(folder: Path, messages: Messages) -> None:
    request = Request.load(folder)

    def make_model() -> keras.Model:
        model = request.build(request.architecture)
        _wait_for_weights()
        load_weights(model, folder / INITIAL)
        return model

    trained = request.train(make_model, on_progress=messages.progress, on_note=messages.note)
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
