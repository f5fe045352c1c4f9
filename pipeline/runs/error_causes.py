"""The causes of an exception, and full disks among them. Standard library only."""

from __future__ import annotations

import errno

from models.errors import TransomError, causes


def known_error(error: BaseException) -> TransomError | None:
    """The first of Transom's errors among an error and its causes."""
    return next((cause for cause in causes(error) if isinstance(cause, TransomError)), None)


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
