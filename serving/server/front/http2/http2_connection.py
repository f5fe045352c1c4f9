"""One connection: its HTTP/2 session, its calls, and what its client may ask of the server."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from typing import TYPE_CHECKING, Any

from serving.errors import Code, StatusError
from serving.server.front.connections import PROGRESS_BYTES, State
from serving.server.front.http2 import grpc_headers, nghttp2
from serving.server.front.http2.frame_credit import Credit
from serving.server.front.http2.http2_session import Session, SessionError
from serving.server.front.http2.keepalive import Upkeep
from serving.server.front.http2.stream_call import Call

if TYPE_CHECKING:
    from serving.server.front.http2.http2_server import H2Server

LOG = logging.getLogger("serving")

_STREAM_WINDOW, _WINDOW = 2**20, 2**22  # bytes on their way: what comes is counted before it is kept, so not memory
_HIGH_WATER = 2**18  # bytes that wait in the system's buffer and the transport's before nothing more is made
_WRITE_BYTES = 2**16  # frames that are written together
_MAX_STREAMS = 256
_LOOKED_AT = 8  # calls, to see what a connection does
_SETTLED_SECONDS = 5.0  # then a connection that has greeted is as good as one that has asked


class Connection(asyncio.BufferedProtocol):
    """A protocol of asyncio's; made for each connection."""

    def __init__(self, server: H2Server) -> None:
        self.server, self.peer = server, ""
        self.calls: dict[int, Call] = {}
        self.counted = 0  # of them, by the server
        self.running = 0  # of them, those that the client waits for
        self.streams = 0  # of them, those of several messages
        self.credit, self.upkeep = Credit(), Upkeep(server.loop.time())
        self._opening: Call | None = None  # whose headers come
        self._resets: list[int] = []
        self._transport: Any = None
        self._asked = self._closed = self._flush_due = False
        self._state, self._progress = State.OPENING, 0
        settings = {
            nghttp2.MAX_CONCURRENT_STREAMS: server.settings.max_streams or _MAX_STREAMS,
            nghttp2.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            nghttp2.MAX_HEADER_LIST_SIZE: grpc_headers.MAX_BYTES,
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
        if self._closed or self.upkeep.closing:
            return
        time = self.server.loop.time
        began = time()
        self.upkeep.hear(began)
        self._progress += count
        good = self.session.receive(self.server.buffer_address, count)
        self.flush()
        if not good:
            self.close()
        self.server.spend(time() - began)

    def eof_received(self) -> bool:
        """No client of gRPC's closes half of a connection."""
        return False

    def pause_writing(self) -> None:
        """The client does not read as fast."""
        self.upkeep.paused = self.server.loop.time()

    def resume_writing(self) -> None:
        """It does."""
        self.upkeep.paused = 0.0
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
        if self._closed or self.upkeep.closing or self._transport.is_closing():
            return
        frames: list[bytes] = []
        size = 0
        while not self.upkeep.paused:
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
        if not self.upkeep.paused and self.session.over():
            self.close()

    def reset_after(self, stream: int) -> None:
        """Ends a stream for the client as well, once the end of its answer is sent."""
        self._resets.append(stream)

    def _reset(self) -> bool:
        resets, self._resets = self._resets, []
        for stream in resets:
            if stream in self.calls:
                self.session.reset(stream, nghttp2.NO_ERROR)
        return bool(resets)

    # the session's events

    def headers_begin(self, stream: int) -> None:
        """See `Events`."""
        call = self.calls.get(stream)
        if call is None:
            call = Call(self, stream, self.upkeep.heard)
            self.credit.earn()
            if not self.server.remember(call, self):
                self.session.reset(stream, nghttp2.REFUSED_STREAM)
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
        if call.size > grpc_headers.MAX_BYTES:
            if call.size > 4 * grpc_headers.MAX_BYTES:
                self.session.terminate(nghttp2.ENHANCE_YOUR_CALM)
                return nghttp2.CALLBACK_FAILURE
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
        elif call.size > grpc_headers.MAX_BYTES:
            call.begun = True
            call.end(StatusError(Code.RESOURCE_EXHAUSTED, f"The headers have over {grpc_headers.MAX_BYTES} bytes"))
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

    def control(self, kind: int, stream: int) -> int:
        """See `Events`."""
        if kind == nghttp2.SETTINGS:
            self.upkeep.greeted = True
        call = self.calls.get(stream) if kind == nghttp2.RST_STREAM else None
        if self.credit.pay(hasty=call is not None and call.is_early(self.upkeep.heard)):
            return 0
        self.server.note("closed for a flood of frames")
        self.session.terminate(nghttp2.ENHANCE_YOUR_CALM)
        return nghttp2.CALLBACK_FAILURE

    def read(self, stream: int, address: int, length: int) -> tuple[int, int]:
        """See `Events`."""
        self.credit.earn()
        call = self.calls.get(stream)
        if call is None:
            return 0, nghttp2.DATA_EOF
        return call.read(address, length)

    def closed(self, stream: int, code: int) -> None:
        """See `Events`."""
        call = self.calls.pop(stream, None)
        if call is not None:
            self.server.forget(call)
            call.closed()
            self.upkeep.busy = self.server.loop.time()

    # its end

    def evict(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Closes once the client has read what was sent."""
        if not self.upkeep.closing and not self._closed:
            self.upkeep.closing = self.server.loop.time()
            self._transport.close()

    def leave(self, now: float) -> None:
        """Asks the client to go elsewhere."""
        if not self._closed:
            self.upkeep.leave(self, now)

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
        """Does what is due; to be called once a second or so."""
        if not self._closed:
            self.upkeep.sweep(self, now)
            self._note_state()

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
            if self.upkeep.paused or any(call.sending for call in some):
                return State.SENDING
            if any(call.receiving for call in some):
                return State.RECEIVING
        settled = self._asked or (self.upkeep.greeted and self.server.loop.time() - self.upkeep.made > _SETTLED_SECONDS)
        return State.IDLE if settled else State.OPENING


def _peer_of(transport: Any) -> str:
    """See `grpc_calls.Call`. Empty for a client that has gone already: nobody knows whether it was on this machine."""
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return "unix:"
    address = transport.get_extra_info("peername")
    if address is None:
        return ""
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
