"""When a connection is pinged, asked to leave, or closed, and when its calls are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.errors import Code, StatusError

if TYPE_CHECKING:
    from serving.server.front.http2.http2_connection import Connection

HANDSHAKE_SECONDS = 10.0
MESSAGE_SECONDS, MESSAGE_BYTES_A_SECOND = 20.0, 2**18  # for a message to come
UNREAD_SECONDS = 30.0  # for `PROGRESS_BYTES` of an answer to be read
_CLOSING_SECONDS = 5.0
_MOVED_SECONDS = 0.1  # between the warning that a connection ends and its end


class Upkeep:
    """The times of one connection, by the loop's clock; 0 where something has not been.

    Attributes:
        made: the connection.
        greeted: whether the client has sent its settings.
        heard: when it last sent anything.
        busy: when its last call ended.
        paused: since when it does not read.
        closing: since when the connection waits for its last bytes to be read.
    """

    __slots__ = ("_leaving", "_pinged", "_swept", "_warned", "busy", "closing", "greeted", "heard", "made", "paused")

    def __init__(self, now: float) -> None:
        self.made = self.heard = self.busy = self._swept = now
        self.paused = self.closing = self._pinged = self._warned = 0.0
        self.greeted = self._leaving = False

    def hear(self, now: float) -> None:
        """Something has come."""
        self.heard, self._pinged = now, 0.0

    def leave(self, one: Connection, now: float) -> None:
        """Asks the client to go elsewhere: no more streams come, those that are there end as they end."""
        if not self._warned and not self.closing:
            self._warned = now
            one.session.warn()
            one.flush()

    def sweep(self, one: Connection, now: float) -> None:
        """Does what is due; to be called once a second or so."""
        settings = one.server.settings
        one.credit.refill(now - self._swept)
        self._swept = now
        if self.closing:
            if now - self.closing > _CLOSING_SECONDS:
                one.evict()
        elif not self.greeted and now - self.made > HANDSHAKE_SECONDS:
            one.server.note("closed without HTTP/2's greeting")
            one.evict()
        elif self.paused and now - self.paused > UNREAD_SECONDS:
            one.server.note("closed without reading their answers")
            one.evict()
        elif self._warned:
            self._sweep_leaving(one, now)
        elif now - self.made > settings.max_age or (not one.calls and now - self.busy > settings.max_idle):
            self.leave(one, now)
        elif self._pinged and now - self._pinged > settings.keepalive_timeout:
            one.evict()
        elif not self._pinged and now - self.heard > settings.keepalive_time:
            self._pinged = now
            one.session.ping()
            one.flush()
        self._sweep_calls(one, now)

    def _sweep_leaving(self, one: Connection, now: float) -> None:
        if not self._leaving and now - self._warned >= _MOVED_SECONDS:
            self._leaving = True
            one.session.goaway()
            one.flush()
        elif self._leaving and not one.calls:
            one.close()
        elif now - self._warned > one.server.settings.max_age_grace:
            one.evict()

    def _sweep_calls(self, one: Connection, now: float) -> None:
        for call in list(one.calls.values()):
            if call.receiving:
                if now - call.since > MESSAGE_SECONDS + call.reserved() / MESSAGE_BYTES_A_SECOND:
                    call.end(StatusError(Code.DEADLINE_EXCEEDED, "The message of the request did not arrive in time"))
            elif (call.sending or call.over) and now - call.since > UNREAD_SECONDS:
                call.drop()
