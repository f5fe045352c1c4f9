"""Every error that a user of Transom can cause, as one tree (standard library only).

    TransomError            exit code 1
    ├── ConfigError         exit code 2   the configuration (or the command line) is wrong
    ├── DataError           exit code 3   a file or a row cannot be read as expected
    │   └── GateError       exit code 4   the data can be read, but a rule of the data gate stops the run
    ├── PresetError         exit code 5   pretrained weights or their tokenizer cannot be used
    ├── TrainingError       exit code 6   training cannot start, or failed (a loss that is not finite)
    ├── ModelError          exit code 7   a SavedModel cannot be exported, found or queried
    ├── NotBlessedError     exit code 8   the model was trained and evaluated, but is not good enough to push
    ├── PushError           exit code 9   the push failed; the previous model is still live
    ├── BusyError           exit code 10  another run is using the project
    └── ReproductionError   exit code 11  a model was trained again, and its weights are different

Each says what is wrong, what was found, what was expected, and what to do. The command line prints the message and
exits with the code; nothing below the command line catches these errors.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tflite.host.errors import ModelError as ModelError
from tflite.host.errors import TransomError as TransomError


class ConfigError(TransomError):
    exit_code = 2


class DataError(TransomError):
    exit_code = 3


class GateError(DataError):
    exit_code = 4
    findings: Sequence[Mapping[str, Any]] = ()
    """All findings of the gate, as JSON values."""
    data: Mapping[str, Any] = {}
    """What the data are like, as JSON values."""


class PresetError(TransomError):
    exit_code = 5


class TrainingError(TransomError):
    exit_code = 6


class NotBlessedError(TransomError):
    exit_code = 8


class PushError(TransomError):
    exit_code = 9


class BusyError(TransomError):
    exit_code = 10


class ReproductionError(TransomError):
    exit_code = 11


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a termination, and its consequences. Not a TransomError, because nothing is wrong.

    Args:
        what: what was interrupted, and where.
        kept: what is not lost.
        lost: what is lost.
        then: what happens when it is run again.

    Attributes:
        step: the step of the pipeline that was interrupted, once that is known.
    """

    def __init__(self, what: str, *, kept: str = "", lost: str = "", then: str = "") -> None:
        self.what, self.kept, self.lost, self.then = what, kept, lost, then
        self.step = ""
        super().__init__(self.render())

    def render(self) -> str:
        parts = (("kept", self.kept), ("lost", self.lost), ("next", self.then))
        return "\n".join([self.what, *(f"  {name}: {value}" for name, value in parts if value)])


@contextmanager
def os_errors_as(kind: type[TransomError], what: str, *, expected: str = "", fix: str = "") -> Iterator[None]:
    """Turns an OSError in the block into an error of this kind, whose `got` is the operating system's reason."""
    try:
        yield
    except OSError as error:
        raise kind(what, got=error.strerror or str(error), expected=expected, fix=fix) from error


# Lasting causes, as an OSError; any other is temporary: a volume that is slow, missing or full.
_LASTING = frozenset(
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "EINVAL", "ELOOP")
)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error itself, then its cause, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def temporary_cause(error: BaseException) -> OSError | None:
    """The cause that may be gone when the same is tried again; None if there is none."""
    return next(
        (
            cause
            for cause in causes(error)
            if isinstance(cause, OSError) and cause.errno is not None and cause.errno not in _LASTING
        ),
        None,
    )
