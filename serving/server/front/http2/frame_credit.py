"""Bounds the frames that a client may send without making progress on a request."""

from __future__ import annotations

_MAX_CREDIT, _REFILL_PER_SECOND = 3000, 500
_EARNED, _EARLY_RESET_COST = 2, 4


class FrameCredit:
    """The credit of one connection.

    Frames that carry nothing of a request cost credit: pings, window updates, scraps of data and resets cost 1, early
    resets 4. Opening a stream or reading part of a response earns 2: gRPC's own clients send two window updates a
    stream.
    """

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit = _MAX_CREDIT

    def spend(self, *, early_reset: bool) -> bool:
        """Pays for a frame, or for the reset of a call that has just begun. Returns whether the credit was enough."""
        self._credit -= _EARLY_RESET_COST if early_reset else 1
        return self._credit >= 0

    def earn(self) -> None:
        """Call when a stream is opened, or part of a response is read."""
        self._credit = min(self._credit + _EARNED, _MAX_CREDIT)

    def refill(self, seconds: float) -> None:
        """Adds what the passed seconds earn."""
        self._credit = min(self._credit + int(_REFILL_PER_SECOND * seconds), _MAX_CREDIT)
