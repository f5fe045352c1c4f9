"""The listening sockets of one process, its connections, and what they share."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from socket import socket

from serving.errors import Code, StatusError
from serving.server.calls.budget import Reservation
from serving.server.front.connections import Connections
from serving.server.front.grpc_handlers import Method
from serving.server.front.http2.channel_arguments import Settings
from serving.server.front.http2.http2_connection import Connection
from serving.server.front.http2.nghttp2 import Nghttp2
from serving.server.front.http2.stream_call import Call
from serving.server.front.listening import Listener

LOG = logging.getLogger("serving")

_BUFFER_BYTES = 2**16  # that are read from a connection at a time
_TURN_SECONDS, _SCRAP_BYTES = 0.01, 512  # of reading in one turn of the loop; read from each connection after that
_SWEEP_SECONDS = 1.0
_MAX_CALLS = 4096
_MAX_STREAMS, _MAX_STREAMS_OF_ONE = 1024, 32  # of messages, such as health's Watch: of all, of a connection
_UNPACKERS = 2
_STALLED_SECONDS, _STALLED_BYTES_A_SECOND = 1.0, 2**20  # a large message that comes more slowly can be dropped
_POLL_SECONDS = 0.02
_END_SECONDS = 1.0  # for the last frames, when the server stops


class H2Server:
    """Make it, `start` it, `stop` it.

    Args:
        library: nghttp2.
        methods: by path, such as b"/package.Service/Method".
        settings: of its connections.
        connections: counts them, with those of others.
        make_held: what a new call holds of the budget.
    """

    def __init__(
        self,
        library: Nghttp2,
        methods: Mapping[bytes, Method],
        settings: Settings,
        connections: Connections,
        make_held: Callable[[], Reservation],
    ) -> None:
        self.library, self.methods, self.settings = library, methods, settings
        self.connections, self.make_held = connections, make_held
        self.note = connections.note
        self.unpackers = ThreadPoolExecutor(_UNPACKERS, thread_name_prefix="unpack")
        memory = bytearray(_BUFFER_BYTES)
        self._pinned = (ctypes.c_char * _BUFFER_BYTES).from_buffer(memory)
        self._buffer, self.buffer_address = memoryview(memory), ctypes.addressof(self._pinned)
        self._scrap = self._buffer[:_SCRAP_BYTES]
        self._spent = 0.0
        self.loop: asyncio.AbstractEventLoop
        self._listener: Listener | None = None
        self._open: dict[Connection, None] = {}
        self.streams = 0
        self._calls: dict[Call, None] = {}  # the oldest first
        self._sweeping: asyncio.Task[None] | None = None

    def start(self, sockets: Sequence[socket], tls: ssl.SSLContext | None) -> None:
        """Begins to answer what comes to these sockets, which are bound.

        Raises:
            OSError: their addresses are in use.
        """
        self.loop = asyncio.get_running_loop()
        self._listener = Listener(sockets, self.connections, lambda: Connection(self), tls)
        self._sweeping = asyncio.create_task(self._sweep())

    def set_tls(self, tls: ssl.SSLContext) -> None:
        """Of new connections."""
        if self._listener is not None:
            self._listener.tls = tls

    async def stop(self, seconds: float) -> None:
        """Takes no more connections and calls, and gives those that are there so many seconds."""
        if self._listener is not None:
            self._listener.close()
        now = self.loop.time()
        for one in list(self._open):
            one.leave(now)
        await self._until_empty(seconds)
        for one in list(self._open):
            one.end_calls()
        await self._until_empty(min(seconds, _END_SECONDS))
        for one in list(self._open):
            one.evict()
        await asyncio.sleep(0)
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.unpackers.shutdown(wait=False, cancel_futures=True)

    async def _until_empty(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        while self._open and self.loop.time() < end:
            await asyncio.sleep(_POLL_SECONDS)
            now = self.loop.time()
            for one in list(self._open):
                one.sweep(now)

    # what connections and calls need

    def register(self, one: Connection) -> None:
        """A connection has come."""
        self._open[one] = None
        self.connections.register(one)

    def unregister(self, one: Connection) -> None:
        """It has gone."""
        self._open.pop(one, None)
        self.connections.unregister(one)

    def remember(self, call: Call, asker: Connection) -> bool:
        """A call begins. At the limit one ends for it of the connection with most; False where it has its share."""
        if len(self._calls) >= _MAX_CALLS:
            fair = _MAX_CALLS // len(self._open)
            if asker.counted >= fair or not max(self._open, key=lambda one: one.counted).end_one():
                self.note("calls refused: too many waited for their clients")
                return False
            self.note("calls ended for others: they waited for their clients")
        self._calls[call] = None
        asker.counted += 1
        return True

    def may_stream(self, asker: Connection) -> bool:
        """Whether a connection may open one more stream of messages, which may stay as long as it likes."""
        return self.streams < _MAX_STREAMS and asker.streams < _MAX_STREAMS_OF_ONE

    def forget(self, call: Call) -> None:
        """It has ended, or is ending."""
        if call in self._calls:
            del self._calls[call]
            call.connection.counted -= 1

    def room(self) -> memoryview:
        """For what is read next: little, once this turn of the loop has taken long, so that others have theirs."""
        return self._buffer if self._spent < _TURN_SECONDS else self._scrap

    def spend(self, seconds: float) -> None:
        """Counts what a turn of the loop takes."""
        if not self._spent:
            self.loop.call_soon(self._turn_over)
        self._spent += seconds

    def _turn_over(self) -> None:
        self._spent = 0.0

    def admit(self, call: Call, size: int) -> None:
        """Reserves the memory of a large message. Those that stand still make room.

        Raises:
            StatusError: RESOURCE_EXHAUSTED.
        """
        try:
            call.held.take(size=size)
        except StatusError:
            now = self.loop.time()
            for other in list(self._calls):
                if other is not call and other.stalls(now - _STALLED_SECONDS, _STALLED_BYTES_A_SECOND):
                    self.note("large messages dropped for others: they came too slowly")
                    other.end(StatusError(Code.RESOURCE_EXHAUSTED, "The message came too slowly while memory is short"))
            call.held.take(size=size)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self.loop.time()
            for one in list(self._open):
                one.sweep(now)
