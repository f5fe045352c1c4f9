"""An error behind the errors that it caused."""

from __future__ import annotations

import errno

from models.errors import GateError
from pipeline.runs.error_causes import is_disk_full, known_error


def caused(error: Exception) -> ValueError:
    wrapped = ValueError("x")
    wrapped.__cause__ = error
    return wrapped


def test_a_full_disk_is_recognized_as_the_cause_of_an_error() -> None:
    assert is_disk_full(caused(OSError(errno.ENOSPC, "No space left on device")))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_transoms_error_is_found_behind_others() -> None:
    error = GateError("no room")
    assert known_error(caused(caused(error))) is error
    assert known_error(ValueError("nothing")) is None
