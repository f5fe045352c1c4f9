from __future__ import annotations

import errno

from pipeline.runs.error_causes import is_disk_full


def test_a_full_disk_is_recognized_as_the_cause_of_an_error() -> None:
    caused = ValueError("x")
    caused.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(caused)
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
