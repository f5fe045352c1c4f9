"""The listening sockets of one process, their connections, and what the connections share."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from socket import socket

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Reservation
from serving.server.front.connections import Connections
from serving.server.front.grpc_call import GrpcMethod
from serving.server.front.http2.channel_arguments import ConnectionSettings
from serving.server.front.http2.http2_connection import Http2Connection
from serving.server.front.http2.nghttp2 import Nghttp2
from serving.server.front.http2.stream_call import StreamCall
from serving.server.front.listening import SocketListener

LOG = logging.getLogger("serving")

_BUFFER_BYTES = 2**16  # read from a connection at a time
_TURN_SECONDS, _SCRAP_BYTES = 0.01, 512  # of reading in a turn of the loop; read from each connection after that
_SWEEP_SECONDS = 1.0
_MAX_CALLS = 4096
_MAX_STREAMS, _MAX_STREAMS_PER_CONNECTION = 1024, 32  # of messages, such as health's Watch
_DECOMPRESSION_THREADS = 2
_STALLED_SECONDS, _STALLED_BYTES_A_SECOND = 1.0, 2**20  # a large message that arrives more slowly may be dropped
_POLL_SECONDS = 0.02
_END_SECONDS = 1.0  # for the last frames, when the server stops


class Http2Server:
    """Create it, `start` it, `stop` it.

    Args:
        methods: by path, such as b"/package.Service/Method".
        connections: counts its connections together with those of others.
        new_reservation: what a new call holds of the budget.
    """

    def __init__(
        self,
        library: Nghttp2,
        methods: Mapping[bytes, GrpcMethod],
        settings: ConnectionSettings,
        connections: Connections,
        new_reservation: Callable[[], Reservation],
    ) -> None:
        self.library, self.methods, self.settings = library, methods, settings
        self.connections, self.new_reservation = connections, new_reservation
        self.count_event = connections.count_event
        self.decompression_threads = ThreadPoolExecutor(_DECOMPRESSION_THREADS, thread_name_prefix="decompress")
        memory = bytearray(_BUFFER_BYTES)
        self._pinned = (ctypes.c_char * _BUFFER_BYTES).from_buffer(memory)
        self._buffer, self.buffer_address = memoryview(memory), ctypes.addressof(self._pinned)
        self._scrap = self._buffer[:_SCRAP_BYTES]
        self._seconds_this_turn = 0.0
        self.loop: asyncio.AbstractEventLoop
        self._listener: SocketListener | None = None
        self._open: dict[Http2Connection, None] = {}
        self.streams = 0
        self._calls: dict[StreamCall, None] = {}  # the oldest first
        self._sweeping: asyncio.Task[None] | None = None

    def start(self, sockets: Sequence[socket], tls: ssl.SSLContext | None) -> None:
        """Starts serving on these sockets, which are bound.

        Raises:
            OSError: their addresses are in use.
        """
        self.loop = asyncio.get_running_loop()
        self._listener = SocketListener(sockets, self.connections, lambda: Http2Connection(self), tls)
        self._sweeping = asyncio.create_task(self._sweep_forever())

    def set_tls(self, tls: ssl.SSLContext) -> None:
        """Sets the context of new connections."""
        if self._listener is not None:
            self._listener.tls = tls

    async def stop(self, seconds: float) -> None:
        """Accepts no more connections and calls, and gives those in flight this many seconds."""
        if self._listener is not None:
            self._listener.close()
        now = self.loop.time()
        for connection in list(self._open):
            connection.begin_shutdown(now)
        await self._wait_until_empty(seconds)
        for connection in list(self._open):
            connection.end_calls()
        await self._wait_until_empty(min(seconds, _END_SECONDS))
        for connection in list(self._open):
            connection.evict()
        await asyncio.sleep(0)
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.decompression_threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_until_empty(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        while self._open and self.loop.time() < end:
            await asyncio.sleep(_POLL_SECONDS)
            self._sweep()

    # what connections and calls need

    def register(self, connection: Http2Connection) -> None:
        self._open[connection] = None
        self.connections.register(connection)

    def unregister(self, connection: Http2Connection) -> None:
        self._open.pop(connection, None)
        self.connections.unregister(connection)

    def add_call(self, call: StreamCall, client: Http2Connection) -> bool:
        """Adds a new call. At the limit, a call of the connection with most is ended for it. Returns False if this
        client has its share already."""
        if len(self._calls) >= _MAX_CALLS:
            fair = _MAX_CALLS // len(self._open)
            if client.counted >= fair or not max(self._open, key=lambda each: each.counted).end_oldest_waiting_call():
                self.count_event("calls refused: too many were waiting for their clients")
                return False
            self.count_event("calls ended to make room: they were waiting for their clients")
        self._calls[call] = None
        client.counted += 1
        return True

    def may_open_stream(self, client: Http2Connection) -> bool:
        """Whether a connection may open one more stream of messages, which may stay open for as long as it likes."""
        return self.streams < _MAX_STREAMS and client.streams < _MAX_STREAMS_PER_CONNECTION

    def remove_call(self, call: StreamCall) -> None:
        """Removes a call that has ended, or is ending."""
        if call in self._calls:
            del self._calls[call]
            call.connection.counted -= 1

    def read_buffer(self) -> memoryview:
        """The buffer for the next read: a small one once this turn of the loop has taken long, so that every connection
        gets its turn."""
        return self._buffer if self._seconds_this_turn < _TURN_SECONDS else self._scrap

    def count_time(self, seconds: float) -> None:
        """Counts time spent in this turn of the loop."""
        if not self._seconds_this_turn:
            self.loop.call_soon(self._end_turn)
        self._seconds_this_turn += seconds

    def _end_turn(self) -> None:
        self._seconds_this_turn = 0.0

    def admit(self, call: StreamCall, size: int) -> None:
        """Reserves the memory of a large message. If it is short, messages that stall are dropped.

        Raises:
            StatusError: RESOURCE_EXHAUSTED.
        """
        try:
            call.held.take(size=size)
        except StatusError:
            now = self.loop.time()
            for other in list(self._calls):
                if other is not call and other.stalls(now - _STALLED_SECONDS, _STALLED_BYTES_A_SECOND):
                    self.count_event("large messages dropped to make room: they arrived too slowly")
                    message = "The message arrived too slowly while memory is short"
                    other.end(StatusError(Code.RESOURCE_EXHAUSTED, message))
            call.held.take(size=size)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._sweep()

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self._open):
            connection.sweep(now)
