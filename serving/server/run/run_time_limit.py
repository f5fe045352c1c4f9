"""The most that a run may take whose time its input decides, whoever waits for it: --max_run_seconds."""

from __future__ import annotations

from serving.errors import Code, StatusError


class RunLimitError(StatusError):
    """A run was ended by the server's limit, and not by the deadline of its caller."""

    def __init__(self, what: str, seconds: float) -> None:
        fix = "Send less, or give the server a larger --max_run_seconds (0: no limit)"
        super().__init__(
            Code.DEADLINE_EXCEEDED, f"{what} longer than the {seconds:g} s of this server's --max_run_seconds. {fix}"
        )


def limited(timeout: float | None, most: float) -> bool:
    """Whether a limit of so many seconds (0: none) ends a run before its caller's deadline does."""
    return most > 0 and (timeout is None or most < timeout)
