"""The note that a failed step leaves for its later attempts, if they would fail as well. No TensorFlow.

Kubeflow restarts a failed pod as often as the spec says, regardless of its exit code: the spec has no condition, and
the launcher turns every exit code into 1. So an attempt with a final failure leaves a note on the volume of the
outputs, and the later attempts repeat its message and end at once, in seconds and without training a model. The last
of them removes the note, so that a run that a person restarts works again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError, DataError, ModelError, NotBlessedError, TransomError, temporary_cause
from models.whole_writes import write_whole
from tflite.host.json_text import to_json

# The same configuration, data and model fail again. Downloads of presets, training (which resumes at its last
# checkpoint), pushes and unexpected errors are worth another attempt.
_FINAL = (ConfigError, DataError, ModelError, NotBlessedError)
_LIFETIME_S = 3600.0  # Kubeflow waits at most 10 minutes between two attempts
_NAME = re.compile(r"[0-9a-f]{64}\.json")


def is_final(error: BaseException) -> bool:
    """Whether the same step, tried again, would fail again."""
    return isinstance(error, _FINAL) and temporary_cause(error) is None


@dataclass(frozen=True)
class FailureNote:
    """The note of one task."""

    path: Path | None  # the file; None if the task has only one attempt
    retries: int  # number of attempts after the first

    @classmethod
    def for_task(cls, folder: Path | None, retries: int, step: str, executor_input: str) -> FailureNote:
        """The note of a task; `executor_input` names the run, and is the same in all attempts."""
        if folder is None or retries < 1:
            return cls(None, 0)
        return cls(folder / f"{hashlib.sha256(f'{step} {executor_input}'.encode()).hexdigest()}.json", retries)

    def read(self) -> tuple[str, int] | None:
        """Last line and exit code of an earlier final failure; None if this attempt should run."""
        if self.path is None:
            return None
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
            line, code, left, age = str(note["line"]), int(note["code"]), int(note["left"]), time.time() - note["time"]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        if left < 1 or not 0 <= age <= _LIFETIME_S:
            self._remove()
            return None
        if left == 1:
            self._remove()
        else:
            self._save(line, code, left - 1)
        return line, code

    def write(self, error: TransomError, line: str) -> None:
        """Writes the note if the error is final."""
        if self.path is not None and is_final(error):
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _remove_old(self.path.parent)
            self._save(line, error.exit_code, self.retries)

    def _save(self, line: str, code: int, left: int) -> None:
        assert self.path is not None
        note = {"line": line, "code": code, "left": left, "time": time.time()}
        with contextlib.suppress(OSError):  # without a note, the next attempt only repeats the work
            write_whole(self.path, to_json(note))

    def _remove(self) -> None:
        assert self.path is not None
        with contextlib.suppress(OSError):
            self.path.unlink()


def _remove_old(folder: Path) -> None:
    """Removes notes of runs that had no further attempts, because their pods or the run were deleted."""
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LIFETIME_S:
            path.unlink(missing_ok=True)
