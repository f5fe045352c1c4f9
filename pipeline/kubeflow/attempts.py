"""What a step's pod leaves for its next attempts: that the failure would only happen again. No TensorFlow.

Kubeflow starts a failed pod again as often as the spec says, whatever its exit code was: the spec has no place for a
condition, and the launcher turns every exit code into 1. So an attempt whose failure is final leaves a note on the
volume of the outputs, and the attempts after it repeat what it says and end at once: in seconds, and with no model
trained. The last of them takes the note away, so that a run that a person restarts does its work again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError, DataError, ModelError, NotBlessedError, TransomError
from tflite.host.json_text import to_json

# The same configuration, data and model fail alike. Presets may have to be downloaded, training goes on at its last
# checkpoint, a push may find its volume again: those are worth another attempt, as is what nobody foresaw.
_FINAL = (ConfigError, DataError, ModelError, NotBlessedError)
# Of an OSError behind one of them; any other is the moment's: a volume that is slow, gone or full.
_LASTING = frozenset(
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "EINVAL", "ELOOP")
)
_LIFETIME_S = 3600.0  # Kubeflow waits 10 minutes between two attempts at most
_NAME = re.compile(r"[0-9a-f]{64}\.json")


def is_final(error: BaseException) -> bool:
    """Whether the same step, tried again, would fail again."""
    if not isinstance(error, _FINAL):
        return False
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno is not None and behind.errno not in _LASTING:
            return False
        behind = behind.__cause__ or behind.__context__
    return True


@dataclass(frozen=True)
class FailureNote:
    """The place of one task's note.

    Attributes:
        path: of the file; None where the task is tried once.
        retries: attempts after the first.
    """

    path: Path | None
    retries: int

    @classmethod
    def for_task(cls, folder: Path | None, retries: int, step: str, told: str) -> FailureNote:
        """The note of a task of a run: what the step is told names the run, and is the same in all attempts."""
        if folder is None or retries < 1:
            return cls(None, 0)
        return cls(folder / f"{hashlib.sha256(f'{step} {told}'.encode()).hexdigest()}.json", retries)

    def read(self) -> tuple[str, int] | None:
        """The last line and exit code of an attempt that ended for good; None where this one is to run."""
        if self.path is None:
            return None
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            line, code, left, age = str(told["line"]), int(told["code"]), int(told["left"]), time.time() - told["time"]
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
        """Leaves the note where the error is final."""
        if self.path is not None and is_final(error):
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _remove_old(self.path.parent)
            self._save(line, error.exit_code, self.retries)

    def _save(self, line: str, code: int, left: int) -> None:
        assert self.path is not None
        told = {"line": line, "code": code, "left": left, "time": time.time()}
        with contextlib.suppress(OSError):  # without a note the next attempt does the work again, no more
            temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(to_json(told), encoding="utf-8")
            temporary.replace(self.path)

    def _remove(self) -> None:
        assert self.path is not None
        with contextlib.suppress(OSError):
            self.path.unlink()


def _remove_old(folder: Path) -> None:
    """Notes of runs whose other attempts never came: their pods were taken away, or the run was."""
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LIFETIME_S:
            path.unlink(missing_ok=True)
