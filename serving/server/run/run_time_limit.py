"""--max_run_seconds: the limit for runs whose time depends on their input, whether or not a caller still waits."""

from __future__ import annotations

from serving.errors import Code, StatusError


class RunLimitError(StatusError):
    """A run ended at the server's limit and not at its caller's deadline."""

    def __init__(self, what: str, seconds: float) -> None:
        fix = "Send less, or give the server a larger --max_run_seconds (0: no limit)"
        super().__init__(
            Code.DEADLINE_EXCEEDED, f"{what} longer than the {seconds:g} s of this server's --max_run_seconds. {fix}"
        )


def limit_comes_first(timeout: float | None, limit: float) -> bool:
    """Whether a limit in seconds (0: none) ends a run before its caller's deadline does."""
    return limit > 0 and (timeout is None or limit < timeout)
