"""The causes of an exception, and what they say: a full disk, a fault of the moment. Standard library only."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from models.errors import TransomError

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


def known_error(error: BaseException) -> TransomError | None:
    """The first of Transom's errors among an error and its causes."""
    return next((cause for cause in causes(error) if isinstance(cause, TransomError)), None)


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


def error_text(error: BaseException) -> str:
    """For people: our own errors in full, others with their type."""
    return error.render() if isinstance(error, TransomError) else f"{type(error).__name__}: {error}"


def is_disk_full(error: BaseException) -> bool:
    """Whether an error or its cause is a full disk; SQLite and TensorFlow report that only in the message."""
    return any(
        (isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT))
        or any(words in str(cause) for words in ("No space left on device", "database or disk is full"))
        for cause in causes(error)
    )


def disk_full_error(what: str) -> TransomError:
    """The error about a full disk; `what` names the place."""
    return TransomError(
        what,
        got="no space left on the device",
        expected="room for the steps' outputs: a few times the size of the data, and several times that of the model",
        fix="make room and run again: finished steps are not repeated; or set `output:` to another disk",
    )
