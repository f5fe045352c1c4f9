"""How many connections one process keeps, gRPC and REST together, and which one has to go for a new one.

A new connection is served at the limit as well: one that waits for its client is closed for it. One that the server
works for is never closed: while all are such, new ones wait in the system's queue.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

LOG = logging.getLogger("serving")

PROGRESS_BYTES = 2**18
"""Touch a connection that receives or sends once for so many bytes: one byte a second is no progress."""

_PRESSED_PATIENCE = 5.0  # seconds without progress amid a message, when memory is short
_SWEEP_SECONDS = 0.5
_RESERVE = 64  # descriptors for models' files, the control channel, and connections that are just coming or going
_LEAST = 8
_GATHER_SECONDS, _SILENT_SECONDS = 1.0, 60.0


class State(enum.IntEnum):
    """What a connection is doing.

    Attributes:
        OPENING: the handshake, or a header that has begun or is still to come on a new connection.
        IDLE: between requests.
        RECEIVING: amid the body of a request.
        RUNNING: the server works, the client waits. Never closed for another.
        SENDING: an answer that the client has not read.
    """

    OPENING = 0
    IDLE = 1
    RECEIVING = 2
    RUNNING = 3
    SENDING = 4


LONGEST: Mapping[State, float] = {State.OPENING: 20.0, State.IDLE: 3600.0, State.RECEIVING: 60.0, State.SENDING: 60.0}
"""Seconds that a connection may be in a state, or without progress in it; then it is closed."""

_PATIENCE = {State.OPENING: 1.0, State.RECEIVING: 5.0, State.SENDING: 5.0}
"""Seconds likewise, when others wait; then it goes before those that are idle."""

_WORDS = {
    State.OPENING: "without a whole header",
    State.IDLE: "idle",
    State.RECEIVING: "without a whole body",
    State.SENDING: "not reading their answer",
}


class Connection(Protocol):
    """What `Connections` keeps."""

    def evict(self) -> None:
        """Closes at once, without waiting for the other side; its descriptor is free one turn of the loop later."""


class Connections:
    """Belongs to the event loop. Each call takes constant time.

    A protocol registers in `connection_made`, touches when its state changes and for each `PROGRESS_BYTES` within it,
    and unregisters in `connection_lost`. A connection with several streams is in the state of the one furthest on
    (RUNNING before SENDING before RECEIVING); with none, or with nothing but a stream that waits for news (health's
    Watch), it is IDLE. `Frontend.connections` is what both front ends share.

    Args:
        most: connections at a time.
        pressed: whether memory is short: then nobody may stand still amid a message for long.
        longest: see `LONGEST`.
        clock: seconds.
    """

    def __init__(
        self,
        most: int,
        pressed: Callable[[], bool] = lambda: False,
        longest: Mapping[State, float] = LONGEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self._pressed, self.longest, self._clock = most, pressed, longest, clock
        self._sweeping = False
        self._states: dict[Connection, State] = {}
        self._since: dict[State, dict[Connection, float]] = {state: {} for state in State}  # the oldest first
        self._waiting: list[Callable[[], None]] = []
        self._noted: Counter[str] = Counter()
        self._silent_until = -_SILENT_SECONDS
        self._telling = False

    def __len__(self) -> int:
        return len(self._states)

    def register(self, one: Connection) -> None:
        """Takes a connection in as OPENING. It does not make room: `make_room` does, before accepting."""
        self._put(one, State.OPENING)
        if not self._sweeping:
            self._sweep_later()

    def touch(self, one: Connection, state: State) -> None:
        """Notes what a connection does from now on, or that it gets on with it. One that has been evicted is left."""
        before = self._states.get(one)
        if before is None:
            return
        del self._since[before][one]
        self._put(one, state)
        if before is State.RUNNING and self._waiting:
            self._call_waiting()

    def unregister(self, one: Connection) -> None:
        """Forgets a connection that has ended; it may be unknown."""
        state = self._states.pop(one, None)
        if state is not None:
            del self._since[state][one]
            self._call_waiting()

    def make_room(self) -> bool:
        """Whether one more may come; at the limit, another one is evicted for it."""
        return len(self._states) < self.most or self.evict()

    def evict(self) -> bool:
        """Closes the connection that is missed least; False where the server works for all of them."""
        victim = self._victim()
        if victim is None:
            return False
        self._close(victim, f"{_WORDS[self._states[victim]]} for a new one")
        return True

    def when_room(self, call: Callable[[], None]) -> None:
        """Calls once, as soon as `make_room` may succeed again."""
        self._waiting.append(call)

    def note(self, what: str) -> None:
        """Counts something for the log, which gets one line a minute at most."""
        self._noted[what] += 1
        if not self._telling:
            self._telling = True
            delay = max(_GATHER_SECONDS, self._silent_until - self._clock())
            asyncio.get_running_loop().call_later(delay, self._tell)

    def sweep(self) -> None:
        """Closes what has been in its state for too long."""
        now, longest = self._clock(), dict(self.longest)
        if self._pressed():
            for state in (State.RECEIVING, State.SENDING):
                longest[state] = min(longest[state], _PRESSED_PATIENCE)
        for state, seconds in longest.items():
            while (late := self._oldest(state, now - seconds)) is not None:
                self._close(late, f"{_WORDS[state]} for {seconds:g} s")

    def _sweep_later(self) -> None:
        """Sweeps now and then, as long as there are connections."""
        self.sweep()
        self._sweeping = bool(self._states)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep_later)

    def _put(self, one: Connection, state: State) -> None:
        self._states[one] = state
        self._since[state][one] = self._clock()

    def _victim(self) -> Connection | None:
        now = self._clock()
        for state, seconds in _PATIENCE.items():
            late = self._oldest(state, now - seconds)
            if late is not None:
                return late
        # Whoever opens many connections has most of them in one state, and is not the one that came last.
        crowd = max(_WORDS, key=lambda state: len(self._since[state]))
        return self._oldest(crowd, now)

    def _oldest(self, state: State, until: float) -> Connection | None:
        """The connection that is longest in this state, if it has been since `until` at least."""
        for one, since in self._since[state].items():
            return one if since <= until else None
        return None

    def _close(self, victim: Connection, how: str) -> None:
        self.unregister(victim)
        self.note(f"closed {how}")
        victim.evict()

    def _call_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _tell(self) -> None:
        self._telling, self._silent_until = False, self._clock() + _SILENT_SECONDS
        noted = ", ".join(f"{count} {what}" for what, count in sorted(self._noted.items()))
        self._noted.clear()
        LOG.warning("%d connections of at most %d; since the last such line: %s", len(self), self.most, noted)


def limit_of_connections(most: int) -> int:
    """How many connections this process can keep: `most`, or fewer where the system gives fewer descriptors.

    The soft limit of descriptors is raised to the hard one. Some are left for all else.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:
            LOG.warning("The limit of descriptors stays at %d: %s", soft, error)
    if soft == resource.RLIM_INFINITY:
        return most
    possible = max(_LEAST, soft - _open_descriptors() - _RESERVE)
    if possible < most:
        LOG.warning(
            "At most %d connections, not %d (--max_connections): the limit of descriptors is %d. Raise it (ulimit -n)",
            possible,
            most,
            soft,
        )
    return min(most, possible)


def _open_descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return _RESERVE
