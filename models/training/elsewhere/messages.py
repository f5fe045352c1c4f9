"""What a training in a child process tells its parent: JSON, a line each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

from models import errors
from models.errors import Interrupted, TransomError
from models.training.progress import Progress
from tflite.host.json_text import to_json

_PARTS = ("what", "got", "expected", "fix")
_INTERRUPTION = ("what", "kept", "lost", "then")


class Messages:
    """The child's end."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def progress(self, progress: Progress) -> None:
        self._write({"progress": asdict(progress)})

    def note(self, text: str) -> None:
        self._write({"note": text})

    def finished(self, values: dict[str, Any]) -> None:
        """The last message of a training that came to its end."""
        self._write({"finished": values})

    def stopped(self, error: TransomError | OSError | KeyboardInterrupt) -> None:
        """The last message of a training that did not."""
        if isinstance(error, TransomError):
            parts = {name: getattr(error, name) for name in _PARTS}
            self._write({"error": {"kind": type(error).__name__, **parts}})
        elif isinstance(error, OSError):
            file = None if error.filename is None else str(error.filename)
            self._write({"os_error": [error.errno, error.strerror or str(error), file]})
        elif isinstance(error, Interrupted):
            self._write({"interrupted": {name: getattr(error, name) for name in _INTERRUPTION}})
        else:
            self._write({"interrupted": {}})

    def _write(self, message: dict[str, Any]) -> None:
        self._stream.write(to_json(message) + "\n")
        self._stream.flush()


def receive(
    stream: IO[str], on_progress: Callable[[Progress], None], on_note: Callable[[str], None]
) -> dict[str, Any] | None:
    """The parent's end: hands progress and notes on until the child has finished.

    Returns:
        What the child finished with; None if it ended without a last message.

    Raises:
        TransomError, OSError: the child's.
        KeyboardInterrupt: a signal has ended the child's training; an Interrupted, once it had begun.
    """
    for line in stream:
        message = _message(line)
        if message is None:
            continue
        if "progress" in message:
            on_progress(_progress(message["progress"]))
        elif "note" in message:
            on_note(message["note"])
        elif "finished" in message:
            finished: dict[str, Any] = message["finished"]
            return finished
        elif "error" in message:
            parts = message["error"]
            kind: type[TransomError] = getattr(errors, parts.pop("kind"), TransomError)
            raise kind(**parts)
        elif "os_error" in message:
            raise OSError(*message["os_error"])
        elif "interrupted" in message:
            interruption = message["interrupted"]
            raise Interrupted(**interruption) if interruption else KeyboardInterrupt
    return None


def _message(line: str) -> dict[str, Any] | None:
    """None for what is no message: half a line of a killed child, or what an interpreter prints when it starts."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _progress(values: dict[str, Any]) -> Progress:
    evaluation = values.pop("evaluation")
    if evaluation is not None:  # JSON has no NaN
        evaluation = {name: math.nan if value is None else value for name, value in evaluation.items()}
    return Progress(evaluation=evaluation, **values)
