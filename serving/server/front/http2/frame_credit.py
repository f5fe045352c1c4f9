"""What a client may send besides requests."""

from __future__ import annotations

_MOST, _A_SECOND = 3000, 500
_EARNED, _HASTY_COSTS = 2, 4


class Credit:
    """Of one connection. Frames that carry nothing of a request cost: pings, windows, scraps of data and resets 1,
    hasty resets 4. A client that opens a stream, or reads a part of an answer, earns 2: gRPC's own sends two windows
    for a stream."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST

    def pay(self, *, hasty: bool) -> bool:
        """Whether there was enough for a frame, or for the reset of a call that had just begun."""
        self._left -= _HASTY_COSTS if hasty else 1
        return self._left >= 0

    def earn(self) -> None:
        """A stream was opened, or a part of an answer read."""
        self._left = min(self._left + _EARNED, _MOST)

    def refill(self, seconds: float) -> None:
        """So much time has passed."""
        self._left = min(self._left + int(_A_SECOND * seconds), _MOST)
