"""When a connection is pinged, shut down or closed, and when its calls are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.errors import Code, StatusError

if TYPE_CHECKING:
    from serving.server.front.http2.http2_connection import Http2Connection

HANDSHAKE_SECONDS = 10.0
MESSAGE_SECONDS, MESSAGE_BYTES_A_SECOND = 20.0, 2**18  # for a message to arrive
UNREAD_SECONDS = 30.0  # for `PROGRESS_BYTES` of a response to be read
_CLOSING_SECONDS = 5.0
_GOAWAY_DELAY_SECONDS = 0.1  # between the shutdown notice and GOAWAY


class ConnectionTimers:
    """The times of one connection, by the loop's clock; 0 for what has not happened.

    Attributes:
        opened: when the connection was made.
        settings_received: whether the client has sent its settings.
        last_received: when the client last sent anything.
        last_call_ended: when the last call ended.
        writing_paused: since when the client has not read.
        closing_since: since when the connection waits for its last bytes to be read.
    """

    def __init__(self, now: float) -> None:
        self.opened = self.last_received = self.last_call_ended = self._swept = now
        self.writing_paused = self.closing_since = self._pinged = self._notice_sent = 0.0
        self.settings_received = self._goaway_sent = False

    def note_received(self, now: float) -> None:
        """Call when something has arrived."""
        self.last_received, self._pinged = now, 0.0

    def begin_shutdown(self, connection: Http2Connection, now: float) -> None:
        """Asks the client to open no more streams here. Its calls may end."""
        if not self._notice_sent and not self.closing_since:
            self._notice_sent = now
            connection.session.submit_shutdown_notice()
            connection.flush()

    def sweep(self, connection: Http2Connection, now: float) -> None:
        """Does what is due. Call it about once a second."""
        settings = connection.server.settings
        connection.credit.refill(now - self._swept)
        self._swept = now
        if self.closing_since:
            if now - self.closing_since > _CLOSING_SECONDS:
                connection.evict()
        elif not self.settings_received and now - self.opened > HANDSHAKE_SECONDS:
            connection.server.count_event("closed without HTTP/2's greeting")
            connection.evict()
        elif self.writing_paused and now - self.writing_paused > UNREAD_SECONDS:
            connection.server.count_event("closed without reading their responses")
            connection.evict()
        elif self._notice_sent:
            self._sweep_shutdown(connection, now)
        elif now - self.opened > settings.max_age or (
            not connection.calls and now - self.last_call_ended > settings.max_idle
        ):
            self.begin_shutdown(connection, now)
        elif self._pinged and now - self._pinged > settings.keepalive_timeout:
            connection.evict()
        elif not self._pinged and now - self.last_received > settings.keepalive_time:
            self._pinged = now
            connection.session.ping()
            connection.flush()
        self._sweep_calls(connection, now)

    def _sweep_shutdown(self, connection: Http2Connection, now: float) -> None:
        if not self._goaway_sent and now - self._notice_sent >= _GOAWAY_DELAY_SECONDS:
            self._goaway_sent = True
            connection.session.goaway()
            connection.flush()
        elif self._goaway_sent and not connection.calls:
            connection.close()
        elif now - self._notice_sent > connection.server.settings.max_age_grace:
            connection.evict()

    def _sweep_calls(self, connection: Http2Connection, now: float) -> None:
        for call in list(connection.calls.values()):
            if call.receiving:
                if now - call.since > MESSAGE_SECONDS + call.reserved() / MESSAGE_BYTES_A_SECOND:
                    call.end(StatusError(Code.DEADLINE_EXCEEDED, "The message of the request did not arrive in time"))
            elif (call.sending or call.over) and now - call.since > UNREAD_SECONDS:
                call.drop()
