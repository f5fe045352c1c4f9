"""Shares the event loop fairly among REST connections whose input is still to be parsed."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.server.front.rest.http1_connection import Http1Connection

_REQUESTS_PER_TURN = 16
_TURN_SECONDS = 1e-3


class ParsingTurns:
    """Decides what input is parsed in each turn of the event loop.

    A few requests may begin at once; the next waits for a turn. So a turn stays short whatever arrives, and everything
    else in the process waits no longer than that. Input that is costly to parse gets a millisecond of each turn as
    well.
    """

    def __init__(self) -> None:
        self._waiting: dict[Http1Connection, None] = {}
        self._scheduled = False
        self._requests_left = _REQUESTS_PER_TURN

    def may_begin(self) -> bool:
        """Whether one more connection may begin a request without waiting for a turn."""
        if self._waiting or not self._requests_left:
            return False
        self._requests_left -= 1
        return True

    def enqueue(self, connection: Http1Connection) -> None:
        """Puts a connection at the end of the queue, unless it is already waiting."""
        self._waiting.setdefault(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled, self._requests_left = False, _REQUESTS_PER_TURN
        until = time.perf_counter() + _TURN_SECONDS
        for connection in list(itertools.islice(self._waiting, _REQUESTS_PER_TURN)):
            del self._waiting[connection]
            if connection.take_turn():
                self._waiting[connection] = None
            if time.perf_counter() > until:
                break
        if self._waiting:
            self._schedule()
