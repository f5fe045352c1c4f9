"""One connection: its HTTP/2 session, its calls, and what its client may ask of the server."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

from serving.errors import Code, StatusError
from serving.server.connections import PROGRESS_BYTES, State
from serving.server.h2 import binding, headers
from serving.server.h2.call import Call
from serving.server.h2.session import Session, SessionError

if TYPE_CHECKING:
    from serving.server.h2.server import H2Server

LOG = logging.getLogger("serving")

_STREAM_WINDOW, _WINDOW = 2**20, 2**22  # bytes on their way: what comes is counted before it is kept, so not memory
_HIGH_WATER = 2**18  # bytes that wait in the system's buffer and the transport's before nothing more is made
_WRITE_BYTES = 2**16  # frames that are written together
_MAX_STREAMS = 256
_LOOKED_AT = 8  # calls, to see what a connection does

_CREDIT, _CREDIT_A_SECOND = 3000, 500
"""What frames that carry nothing of a request may cost: pings, windows, scraps of data 1, resets 4. A client that
opens a stream, or reads a part of an answer, earns 2: gRPC's own client sends two windows for a stream."""

_EARNED, _RESET_COSTS = 2, 4
_HANDSHAKE_SECONDS = 10.0
_SETTLED_SECONDS = 5.0  # then a connection that has greeted is as good as one that has asked
_MESSAGE_SECONDS, _MESSAGE_BYTES_A_SECOND = 20.0, 2**18  # for a message to come
_UNREAD_SECONDS = 30.0  # for PROGRESS_BYTES of an answer to be read
_CLOSING_SECONDS = 5.0
_MOVED_SECONDS = 0.1  # between the warning that a connection ends and its end


class Connection(asyncio.BufferedProtocol):
    """A protocol of asyncio's; made for each connection."""

    def __init__(self, server: H2Server) -> None:
        self.server, self.peer = server, ""
        now = server.loop.time()
        self.calls: dict[int, Call] = {}
        self._resets: list[int] = []
        self._opening: Call | None = None  # whose headers come
        self._transport: Any = None
        self._credit = _CREDIT
        self._greeted = self._asked = self._closed = self._flush_due = False
        self._made = self._heard = self._busy = now
        self._paused_since = self._closing_since = self._pinged = self._warned = 0.0
        self._leaving = False
        self.counted = 0  # calls that the server counts
        self.streams = 0  # calls that are streams
        self.running = 0  # calls that a task works for
        self._progress = 0
        self._state = State.OPENING
        concurrent = server.settings.max_streams or _MAX_STREAMS
        settings = {
            binding.MAX_CONCURRENT_STREAMS: concurrent,
            binding.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            binding.MAX_HEADER_LIST_SIZE: headers.MAX_BYTES,
        }
        self.session = Session(server.library, self, settings, _WINDOW)

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        """Registers."""
        self._transport, self.peer = transport, _peer_of(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.server.register(self)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends all calls."""
        self._closed = True
        self.server.unregister(self)
        calls = list(self.calls.values())
        self.calls.clear()
        for call in calls:
            self.server.forget(call)
            call.closed()
        self.session.close()

    def get_buffer(self, hint: int) -> memoryview:
        """The server's own: what is in it is taken out at once."""
        return self.server.room()

    def buffer_updated(self, count: int) -> None:
        """Takes what has come, and sends what there is to say."""
        if self._closed or self._closing_since:
            return
        time = self.server.loop.time
        self._heard, self._pinged = time(), 0.0
        self._progress += count
        good = self.session.receive(self.server.buffer_address, count)
        self.flush()
        if not good:
            self._close()
        self.server.spend(time() - self._heard)

    def eof_received(self) -> bool:
        """No client of gRPC's closes half of a connection."""
        return False

    def pause_writing(self) -> None:
        """The client does not read as fast."""
        self._paused_since = self.server.loop.time()

    def resume_writing(self) -> None:
        """It does."""
        self._paused_since = 0.0
        self.flush()

    # what calls need

    def flush_soon(self) -> None:
        """Sends at the end of this turn of the loop what there is by then."""
        if not self._flush_due:
            self._flush_due = True
            self.server.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Sends what there is, as far as the client reads."""
        self._flush_due = False
        if self._closed or self._closing_since or self._transport.is_closing():
            return
        frames: list[bytes] = []
        size = 0
        while not self._paused_since:
            try:
                frame = self.session.send()
            except SessionError as error:
                LOG.error("%s; its connection ends", error)
                self._transport.abort()
                return
            size += len(frame)
            if frame:
                frames.append(frame)
            if frames and (not frame or size >= _WRITE_BYTES):
                self._progress += size
                self._transport.write(b"".join(frames))
                frames, size = [], 0
            if not frame and not self._reset():
                break
        self._note_state()
        if not self._paused_since and self.session.over():
            self._close()

    def reset_after(self, stream: int) -> None:
        """Ends a stream for the client as well, once the end of its answer is sent."""
        self._resets.append(stream)

    def _reset(self) -> bool:
        resets, self._resets = self._resets, []
        for stream in resets:
            if stream in self.calls:
                self.session.reset(stream, binding.NO_ERROR)
        return bool(resets)

    # the session's events

    def headers_begin(self, stream: int) -> None:
        """See `Events`."""
        call = self.calls.get(stream)
        if call is None:
            call = Call(self, stream, self._heard)
            self._earn()
            if not self.server.remember(call, self):
                self.session.reset(stream, binding.REFUSED_STREAM)
                self._opening = None
                return
            self.calls[stream] = call
        self._opening = call

    def header(self, name: bytes, value: bytes) -> int:
        """See `Events`."""
        call = self._opening
        if call is None:
            return 0
        call.size += len(name) + len(value) + 32
        if call.size > headers.MAX_BYTES:
            if call.size > 4 * headers.MAX_BYTES:
                self.session.terminate(binding.ENHANCE_YOUR_CALM)
                return binding.CALLBACK_FAILURE
            return 0
        if not call.begun:
            call.fields[name] = value
        return 0

    def headers_end(self, stream: int, last: bool) -> None:
        """See `Events`."""
        call, self._opening, self._asked = self.calls.get(stream), None, True
        if call is None:
            return
        if call.begun:
            if last:
                call.ended()
        elif call.size > headers.MAX_BYTES:
            call.begun = True
            call.end(StatusError(Code.RESOURCE_EXHAUSTED, f"The headers have over {headers.MAX_BYTES} bytes"))
        else:
            call.began(last)

    def data(self, stream: int, address: int, length: int) -> None:
        """See `Events`."""
        call = self.calls.get(stream)
        if call is not None:
            call.data(address, length)

    def data_end(self, stream: int) -> None:
        """See `Events`."""
        call = self.calls.get(stream)
        if call is not None:
            call.ended()

    def control(self, kind: int, flags: int) -> int:
        """See `Events`."""
        if kind == binding.SETTINGS:
            self._greeted = True
        self._credit -= _RESET_COSTS if kind == binding.RST_STREAM else 1
        if self._credit >= 0:
            return 0
        self.server.note("closed for a flood of frames")
        self.session.terminate(binding.ENHANCE_YOUR_CALM)
        return binding.CALLBACK_FAILURE

    def read(self, stream: int, address: int, length: int) -> tuple[int, int]:
        """See `Events`."""
        self._earn()
        call = self.calls.get(stream)
        if call is None:
            return 0, binding.DATA_EOF
        return call.read(address, length)

    def closed(self, stream: int, code: int) -> None:
        """See `Events`."""
        call = self.calls.pop(stream, None)
        if call is not None:
            self.server.forget(call)
            call.closed()
            self._busy = self._heard

    def _earn(self) -> None:
        self._credit = min(self._credit + _EARNED, _CREDIT)

    # its end

    def evict(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self, now: float) -> None:
        """Asks the client to go elsewhere: no more streams come, those that are there end as they end."""
        if not self._warned and not self._closed and not self._closing_since:
            self._warned = now
            self.session.warn()
            self.flush()

    def end_calls(self) -> None:
        """Ends all calls: the server stops."""
        for call in list(self.calls.values()):
            call.end(StatusError(Code.UNAVAILABLE, "The server stops"))
        self.flush()

    def end_one(self) -> bool:
        """Ends the oldest call that waits for its client; False where none does."""
        for call in self.calls.values():
            if call.receiving or call.sending:
                call.end(StatusError(Code.RESOURCE_EXHAUSTED, "Too many calls wait for their clients"))
                if call.sending:
                    call.drop()
                self.server.forget(call)
                return True
        return False

    def sweep(self, now: float) -> None:
        """Closes what stands still; to be called once a second or so."""
        if self._closed:
            return
        settings = self.server.settings
        self._credit = min(self._credit + _CREDIT_A_SECOND, _CREDIT)
        if self._closing_since:
            if now - self._closing_since > _CLOSING_SECONDS:
                self._transport.abort()
        elif not self._greeted and now - self._made > _HANDSHAKE_SECONDS:
            self.server.note("closed without HTTP/2's greeting")
            self._transport.abort()
        elif self._paused_since and now - self._paused_since > _UNREAD_SECONDS:
            self.server.note("closed without reading their answers")
            self._transport.abort()
        elif self._warned:
            self._sweep_leaving(now)
        elif now - self._made > settings.max_age or (not self.calls and now - self._busy > settings.max_idle):
            self.leave(now)
        elif self._pinged and now - self._pinged > settings.keepalive_timeout:
            self._transport.abort()
        elif not self._pinged and now - self._heard > settings.keepalive_time:
            self._pinged = now
            self.session.ping()
            self.flush()
        if not self._closed:
            self._sweep_calls(now)
            self._note_state()

    def _sweep_leaving(self, now: float) -> None:
        if not self._leaving and now - self._warned >= _MOVED_SECONDS:
            self._leaving = True
            self.session.goaway()
            self.flush()
        elif self._leaving and not self.calls:
            self._close()
        elif now - self._warned > self.server.settings.max_age_grace:
            self._transport.abort()

    def _sweep_calls(self, now: float) -> None:
        for call in list(self.calls.values()):
            if call.receiving:
                if now - call.since > _MESSAGE_SECONDS + call.reserved() / _MESSAGE_BYTES_A_SECOND:
                    call.end(StatusError(Code.DEADLINE_EXCEEDED, "The message of the request did not arrive in time"))
            elif (call.sending or call.over) and now - call.since > _UNREAD_SECONDS:
                call.drop()

    def _close(self) -> None:
        if not self._closing_since and not self._closed:
            self._closing_since = self.server.loop.time()
            self._transport.close()

    def _note_state(self) -> None:
        """Tells what the connection does, for when another one needs its place."""
        state = self._current_state()
        if state is not self._state or self._progress >= PROGRESS_BYTES:
            self._state, self._progress = state, 0
            self.server.connections.touch(self, state)

    def _current_state(self) -> State:
        if self.running:
            return State.RUNNING
        if self.calls:
            some = list(itertools.islice(self.calls.values(), _LOOKED_AT))
            if self._paused_since or any(call.sending for call in some):
                return State.SENDING
            if any(call.receiving for call in some):
                return State.RECEIVING
        settled = self._asked or (self._greeted and self.server.loop.time() - self._made > _SETTLED_SECONDS)
        return State.IDLE if settled else State.OPENING


def _peer_of(transport: Any) -> str:
    address = transport.get_extra_info("peername")
    if not isinstance(address, tuple):
        return "unix:"
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
