"""How many connections one process keeps, gRPC and REST together, and which one is closed for a new connection.

A new connection is accepted at the limit as well: one that waits for its client is closed for it. A connection whose
request the server works on is never closed. While all are such, new ones wait in the system's queue.
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
"""Touch a connection that receives or sends once for this many bytes: one byte a second is not progress."""

_LOW_MEMORY_PATIENCE = 5.0  # seconds without progress within a message, when memory is short
_SWEEP_SECONDS = 0.5
_RESERVED_DESCRIPTORS = 64  # for models' files, the supervisor's socket, and connections that are opening or closing
_MIN_CONNECTIONS = 8
_GATHER_SECONDS, _SILENT_SECONDS = 1.0, 60.0


class ConnectionState(enum.IntEnum):
    """What a connection is doing.

    Attributes:
        OPENING: in the handshake, or its header has begun, or the first header is still to come.
        IDLE: between requests.
        RECEIVING: within the body of a request.
        RUNNING: the server works, the client waits. Never closed for another connection.
        SENDING: the client has not read the whole response.
    """

    OPENING = 0
    IDLE = 1
    RECEIVING = 2
    RUNNING = 3
    SENDING = 4


TIMEOUTS: Mapping[ConnectionState, float] = {
    ConnectionState.OPENING: 20.0,
    ConnectionState.IDLE: 3600.0,
    ConnectionState.RECEIVING: 60.0,
    ConnectionState.SENDING: 60.0,
}
"""Seconds in a state, or without progress in it, after which a connection is closed."""

_PATIENCE = {ConnectionState.OPENING: 1.0, ConnectionState.RECEIVING: 5.0, ConnectionState.SENDING: 5.0}
"""Seconds after which it is closed for a new one before those that are idle."""

_STATE_WORDS = {
    ConnectionState.OPENING: "without a complete header",
    ConnectionState.IDLE: "idle",
    ConnectionState.RECEIVING: "without a whole body",
    ConnectionState.SENDING: "not reading their response",
}


class EvictableConnection(Protocol):
    """A connection in `Connections`."""

    def evict(self) -> None:
        """Closes at once, without waiting for the client; the descriptor is free one turn of the loop later."""


class Connections:
    """The connections of one process. Use it in the event loop only. Each call takes constant time.

    A protocol calls `register` in `connection_made`, `touch` when its state changes and for each `PROGRESS_BYTES`
    within it, and `unregister` in `connection_lost`. A connection with several streams is in the state of the one
    furthest on (RUNNING before SENDING before RECEIVING). With none, or only a stream that waits for news (health's
    Watch), it is IDLE. Both front ends share `Frontend.connections`.

    Args:
        limit: connections at a time.
        memory_short: returns whether memory is short: then no message may stall for long.
        timeouts: see `TIMEOUTS`.
        clock: returns seconds.
    """

    def __init__(
        self,
        limit: int,
        memory_short: Callable[[], bool] = lambda: False,
        timeouts: Mapping[ConnectionState, float] = TIMEOUTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit, self._memory_short, self.timeouts, self._clock = limit, memory_short, timeouts, clock
        self._sweeping = False
        self._states: dict[EvictableConnection, ConnectionState] = {}
        # The oldest first.
        self._since: dict[ConnectionState, dict[EvictableConnection, float]] = {state: {} for state in ConnectionState}
        self._waiting: list[Callable[[], None]] = []
        self._events: Counter[str] = Counter()
        self._silent_until = -_SILENT_SECONDS
        self._log_scheduled = False

    def __len__(self) -> int:
        return len(self._states)

    def register(self, connection: EvictableConnection) -> None:
        """Adds a connection as OPENING. Call `make_room` before accepting one."""
        self._put(connection, ConnectionState.OPENING)
        if not self._sweeping:
            self._sweep_later()

    def touch(self, connection: EvictableConnection, state: ConnectionState) -> None:
        """Sets the state of a connection, or notes progress in it. Has no effect on one that has been evicted."""
        before = self._states.get(connection)
        if before is None:
            return
        del self._since[before][connection]
        self._put(connection, state)
        if before is ConnectionState.RUNNING and self._waiting:
            self._call_waiting()

    def unregister(self, connection: EvictableConnection) -> None:
        """Removes a connection that has ended; it may be unknown."""
        state = self._states.pop(connection, None)
        if state is not None:
            del self._since[state][connection]
            self._call_waiting()

    def make_room(self) -> bool:
        """Returns whether one more fits; at the limit, another one is evicted for it."""
        return len(self._states) < self.limit or self.evict()

    def evict(self) -> bool:
        """Closes the connection that is least useful. Returns False if the server works for all of them."""
        victim = self._choose_victim()
        if victim is None:
            return False
        self._close(victim, f"{_STATE_WORDS[self._states[victim]]} for a new one")
        return True

    def call_when_room(self, call: Callable[[], None]) -> None:
        """Calls `call` once, as soon as `make_room` may succeed again."""
        self._waiting.append(call)

    def count_event(self, what: str) -> None:
        """Counts an event for the log, which gets at most one line a minute."""
        self._events[what] += 1
        if not self._log_scheduled:
            self._log_scheduled = True
            delay = max(_GATHER_SECONDS, self._silent_until - self._clock())
            asyncio.get_running_loop().call_later(delay, self._log_events)

    def sweep(self) -> None:
        """Closes connections that have been in their state for too long."""
        now, timeouts = self._clock(), dict(self.timeouts)
        if self._memory_short():
            for state in (ConnectionState.RECEIVING, ConnectionState.SENDING):
                timeouts[state] = min(timeouts[state], _LOW_MEMORY_PATIENCE)
        for state, seconds in timeouts.items():
            while (late := self._oldest(state, now - seconds)) is not None:
                self._close(late, f"{_STATE_WORDS[state]} for {seconds:g} s")

    def _sweep_later(self) -> None:
        """Sweeps now, and again later while there are connections."""
        self.sweep()
        self._sweeping = bool(self._states)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep_later)

    def _put(self, connection: EvictableConnection, state: ConnectionState) -> None:
        self._states[connection] = state
        self._since[state][connection] = self._clock()

    def _choose_victim(self) -> EvictableConnection | None:
        now = self._clock()
        for state, seconds in _PATIENCE.items():
            late = self._oldest(state, now - seconds)
            if late is not None:
                return late
        # A client that opens many connections has most of them in one state, and the newest may be another client's.
        crowd = max(_STATE_WORDS, key=lambda state: len(self._since[state]))
        return self._oldest(crowd, now)

    def _oldest(self, state: ConnectionState, until: float) -> EvictableConnection | None:
        """The connection that has been in this state for longest, if it has been since `until` or before."""
        for connection, since in self._since[state].items():
            return connection if since <= until else None
        return None

    def _close(self, victim: EvictableConnection, how: str) -> None:
        self.unregister(victim)
        self.count_event(f"closed {how}")
        victim.evict()

    def _call_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _log_events(self) -> None:
        self._log_scheduled, self._silent_until = False, self._clock() + _SILENT_SECONDS
        events = ", ".join(f"{count} {what}" for what, count in sorted(self._events.items()))
        self._events.clear()
        LOG.warning("%d connections of at most %d; since the last such line: %s", len(self), self.limit, events)


def connection_limit(limit: int) -> int:
    """How many connections this process can keep: `limit`, or fewer where the system allows fewer descriptors.

    Raises the soft limit on descriptors to the hard one, and reserves some for other uses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:
            LOG.warning("The limit on descriptors stays at %d: %s", soft, error)
    if soft == resource.RLIM_INFINITY:
        return limit
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = _RESERVED_DESCRIPTORS
    possible = max(_MIN_CONNECTIONS, soft - used - _RESERVED_DESCRIPTORS)
    if possible < limit:
        LOG.warning(
            "At most %d connections, not %d (--max_connections): the limit on descriptors is %d. Raise it (ulimit -n)",
            possible,
            limit,
            soft,
        )
    return min(limit, possible)
