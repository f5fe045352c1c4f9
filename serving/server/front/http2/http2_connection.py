"""One connection: its HTTP/2 session, its calls, and the limits on its client."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

from serving.errors import Code, StatusError
from serving.server.front.connections import PROGRESS_BYTES, ConnectionState
from serving.server.front.http2 import grpc_headers, nghttp2
from serving.server.front.http2.connection_timers import ConnectionTimers
from serving.server.front.http2.frame_credit import FrameCredit
from serving.server.front.http2.http2_session import Http2Session, SessionError
from serving.server.front.http2.stream_call import StreamCall
from serving.server.front.listening import peer_address

if TYPE_CHECKING:
    from serving.server.front.http2.http2_server import Http2Server

LOG = logging.getLogger("serving")

# Flow-control windows, in bytes. Data is counted before it is kept, so they need not bound memory.
_STREAM_WINDOW, _CONNECTION_WINDOW = 2**20, 2**22
_HIGH_WATER = 2**18  # bytes in the system's buffer and the transport's, beyond which no more frames are made
_WRITE_BYTES = 2**16  # of frames that are written together
_MAX_STREAMS = 256
_INSPECTED_CALLS = 8  # to determine the state of a connection
_SETTLED_SECONDS = 5.0  # then a connection that has sent its settings counts like one that has sent a request


class Http2Connection(asyncio.BufferedProtocol):
    """asyncio's protocol for one connection, and the receiver of its session's events."""

    def __init__(self, server: Http2Server) -> None:
        self.server, self.peer = server, ""
        self.calls: dict[int, StreamCall] = {}
        self.counted = 0  # calls that the server counts
        self.running = 0  # calls whose client waits for the response
        self.streams = 0  # calls with several messages
        self.credit, self.timers = FrameCredit(), ConnectionTimers(server.loop.time())
        self._opening: StreamCall | None = None  # whose headers are arriving
        self._resets: list[int] = []
        self._transport: Any = None
        self._had_request = self._closed = self._flush_scheduled = False
        self._state, self._progress = ConnectionState.OPENING, 0
        settings = {
            nghttp2.MAX_CONCURRENT_STREAMS: server.settings.max_streams or _MAX_STREAMS,
            nghttp2.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            nghttp2.MAX_HEADER_LIST_SIZE: grpc_headers.MAX_BYTES,
        }
        self.session = Http2Session(server.library, self, settings, _CONNECTION_WINDOW)

    # asyncio's callbacks

    def connection_made(self, transport: Any) -> None:
        self._transport, self.peer = transport, peer_address(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.server.register(self)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self.server.unregister(self)
        calls = list(self.calls.values())
        self.calls.clear()
        for call in calls:
            self.server.remove_call(call)
            call.closed()
        self.session.close()

    def get_buffer(self, hint: int) -> memoryview:
        """The buffer that all connections share: `buffer_updated` empties it at once."""
        return self.server.read_buffer()

    def buffer_updated(self, count: int) -> None:
        if self._closed or self.timers.closing_since:
            return
        time = self.server.loop.time
        began = time()
        self.timers.note_received(began)
        self._progress += count
        good = self.session.receive(self.server.buffer_address, count)
        self.flush()
        if not good:
            self.close()
        self.server.count_time(time() - began)

    def eof_received(self) -> bool:
        """Closes the connection: no gRPC client closes half of one."""
        return False

    def pause_writing(self) -> None:
        self.timers.writing_paused = self.server.loop.time()

    def resume_writing(self) -> None:
        self.timers.writing_paused = 0.0
        self.flush()

    # what calls need

    def flush_soon(self) -> None:
        """Flushes at the end of this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.server.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Sends all pending frames, as far as the client reads."""
        self._flush_scheduled = False
        if self._closed or self.timers.closing_since or self._transport.is_closing():
            return
        frames: list[bytes] = []
        size = 0
        while not self.timers.writing_paused:
            try:
                frame = self.session.send()
            except SessionError as error:
                LOG.error("%s; closing its connection", error)
                self._transport.abort()
                return
            size += len(frame)
            if frame:
                frames.append(frame)
            if frames and (not frame or size >= _WRITE_BYTES):
                self._progress += size
                self._transport.write(b"".join(frames))
                frames, size = [], 0
            if not frame and not self._submit_resets():
                break
        self._note_state()
        if not self.timers.writing_paused and self.session.is_finished():
            self.close()

    def reset_after(self, stream: int) -> None:
        """Ends a stream for the client as well, once the end of its response is sent."""
        self._resets.append(stream)

    def _submit_resets(self) -> bool:
        resets, self._resets = self._resets, []
        for stream in resets:
            if stream in self.calls:
                self.session.reset(stream, nghttp2.NO_ERROR)
        return bool(resets)

    # events of the session, while it receives or sends; they must not close it

    def headers_begin(self, stream: int) -> None:
        """The headers of a new or known stream begin."""
        call = self.calls.get(stream)
        if call is None:
            call = StreamCall(self, stream, self.timers.last_received)
            self.credit.earn()
            if not self.server.add_call(call, self):
                self.session.reset(stream, nghttp2.REFUSED_STREAM)
                self._opening = None
                return
            self.calls[stream] = call
        self._opening = call

    def header(self, name: bytes, value: bytes) -> int:
        """One header. Returns 0, or an error code of nghttp2."""
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
        """The headers are complete; `last`: nothing follows them."""
        call, self._opening, self._had_request = self.calls.get(stream), None, True
        if call is None:
            return
        if call.begun:
            if last:
                call.ended()
        elif call.size > grpc_headers.MAX_BYTES:
            call.begun = True
            call.end(StatusError(Code.RESOURCE_EXHAUSTED, f"The headers have over {grpc_headers.MAX_BYTES} bytes"))
        else:
            call.headers_complete(last)

    def data(self, stream: int, address: int, length: int) -> None:
        """Part of a body; the address is valid during the call."""
        call = self.calls.get(stream)
        if call is not None:
            call.data(address, length)

    def data_end(self, stream: int) -> None:
        """The body is complete."""
        call = self.calls.get(stream)
        if call is not None:
            call.ended()

    def control(self, kind: int, stream: int) -> int:
        """A frame of another kind, or one with hardly any data. Returns 0, or an error code of nghttp2."""
        if kind == nghttp2.SETTINGS:
            self.timers.settings_received = True
        call = self.calls.get(stream) if kind == nghttp2.RST_STREAM else None
        if self.credit.spend(early_reset=call is not None and call.is_early(self.timers.last_received)):
            return 0
        self.server.count_event("closed because of a flood of frames")
        self.session.terminate(nghttp2.ENHANCE_YOUR_CALM)
        return nghttp2.CALLBACK_FAILURE

    def read(self, stream: int, address: int, length: int) -> tuple[int, int]:
        """Writes at most `length` bytes of the response. Returns how many, or DEFERRED, and DATA_ flags."""
        self.credit.earn()
        call = self.calls.get(stream)
        if call is None:
            return 0, nghttp2.DATA_EOF
        return call.read(address, length)

    def closed(self, stream: int, code: int) -> None:
        """The stream has ended, for any reason."""
        call = self.calls.pop(stream, None)
        if call is not None:
            self.server.remove_call(call)
            call.closed()
            self.timers.last_call_ended = self.server.loop.time()

    # closing

    def evict(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Closes once the client has read what was sent."""
        if not self.timers.closing_since and not self._closed:
            self.timers.closing_since = self.server.loop.time()
            self._transport.close()

    def begin_shutdown(self, now: float) -> None:
        """Asks the client to open no more streams here."""
        if not self._closed:
            self.timers.begin_shutdown(self, now)

    def end_calls(self) -> None:
        """Ends all calls, because the server stops."""
        for call in list(self.calls.values()):
            call.end(StatusError(Code.UNAVAILABLE, "The server stops"))
        self.flush()

    def end_oldest_waiting_call(self) -> bool:
        """Ends the oldest call that waits for its client. Returns False if none does."""
        for call in self.calls.values():
            if call.receiving or call.sending:
                call.end(StatusError(Code.RESOURCE_EXHAUSTED, "Too many calls are waiting for their clients"))
                if call.sending:
                    call.drop()
                self.server.remove_call(call)
                return True
        return False

    def sweep(self, now: float) -> None:
        """Does what is due. Call it about once a second."""
        if not self._closed:
            self.timers.sweep(self, now)
            self._note_state()

    def _note_state(self) -> None:
        """Reports the state to `Connections`, which may need this connection's place."""
        state = self._current_state()
        if state is not self._state or self._progress >= PROGRESS_BYTES:
            self._state, self._progress = state, 0
            self.server.connections.touch(self, state)

    def _current_state(self) -> ConnectionState:
        if self.running:
            return ConnectionState.RUNNING
        timers = self.timers
        if self.calls:
            inspected = list(itertools.islice(self.calls.values(), _INSPECTED_CALLS))
            if timers.writing_paused or any(call.sending for call in inspected):
                return ConnectionState.SENDING
            if any(call.receiving for call in inspected):
                return ConnectionState.RECEIVING
        if self._had_request:
            return ConnectionState.IDLE
        settled = timers.settings_received and self.server.loop.time() - timers.opened > _SETTLED_SECONDS
        return ConnectionState.IDLE if settled else ConnectionState.OPENING
