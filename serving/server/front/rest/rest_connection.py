"""One connection of REST: aiohttp's HTTP/1 between `Connections` and what answers.

aiohttp parses and writes. Here is what it leaves open: how long and how much a client may keep it waiting, what becomes
of one that has gone, and answers in JSON for what is no HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from serving.server.calls.internal_error import unexpected
from serving.server.front.connections import Connections, ConnectionState
from serving.server.front.rest.rest_methods import error_body

JSON = "application/json"

_READ_BYTES = 2**16  # at a time, so that no connection has the loop for long
_REQUESTS_A_TURN = 16
_TURN_BYTES, _TURN_SECONDS = 2**14, 1e-3
_MAX_HEADERS = 100
_MAX_HEAD_BYTES = 2**17  # of a request line and headers, with what comes in the same read
_MAX_CHUNKS_BYTES = 2**16  # of chunks beyond twice the bytes in them
_BUFFER_BYTES = 2**16  # of answers that the system has not taken yet; then the next request waits
_HALF_CLOSED_SECONDS = 1.0  # for the answer to a client that may only have ended its sending, or may have gone
_LINGER_SECONDS = 1.0  # for a client to read an answer that came before its request had ended
_WORDS_BYTES = 500  # of a client's own words in an answer
_DISABLED = logging.CRITICAL + 1


def _silent() -> logging.Logger:
    """aiohttp logs a traceback for each request that is no HTTP."""
    logger = logging.getLogger("serving.aiohttp")
    logger.setLevel(_DISABLED)
    return logger


class Turns:
    """What of the connections' input is parsed in each turn of the event loop.

    A few requests may begin, then the next waits for a turn, so that a turn stays short whatever comes, and who asks
    anything else of the process waits for no more than that. What is costly to parse gets a millisecond of each turn
    besides.
    """

    def __init__(self) -> None:
        self._waiting: dict[RestConnection, None] = {}
        self._scheduled = False
        self._left = _REQUESTS_A_TURN

    def begin(self) -> bool:
        """Whether one more connection may begin a request without waiting for a turn."""
        if self._waiting or not self._left:
            return False
        self._left -= 1
        return True

    def take(self, one: RestConnection) -> None:
        """Puts a connection last, unless it is waiting already."""
        self._waiting.setdefault(one)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled, self._left = False, _REQUESTS_A_TURN
        until = time.perf_counter() + _TURN_SECONDS
        for one in list(itertools.islice(self._waiting, _REQUESTS_A_TURN)):
            del self._waiting[one]
            if one.take_turn():
                self._waiting[one] = None
            if time.perf_counter() > until:
                break
        if self._waiting:
            self._schedule()


class RestConnection(web.RequestHandler):
    """See the module.

    Attributes:
        state: what `Connections` has been told.
        body_bytes: of this request's body, as far as it has been read.
    """

    __slots__ = (
        "_bytes",
        "_chunked",
        "_connections",
        "_discarding",
        "_ended",
        "_left",
        "_payload",
        "_rest",
        "_turns",
        "_unfed",
        "body_bytes",
        "state",
    )

    def __init__(self, server: web.Server, connections: Connections, turns: Turns) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=_silent(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own default is None
            max_headers=_MAX_HEADERS,
            lingering_time=0,  # see `_linger`
            auto_decompress=False,
        )
        self._connections, self._turns = connections, turns
        self.state = ConnectionState.OPENING
        self.body_bytes = 0
        self._bytes = 0  # since the header began, then since the body began
        self._left = 0  # of a body whose length is known
        self._payload: Any = None
        self._chunked = False
        self._unfed = bytearray()
        self._ended = self._discarding = False
        self._rest: asyncio.Future[None] | None = None  # done when a client that is given up on has ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_BUFFER_BYTES)
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]  # of asyncio's selector transports
        self._connections.register(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.unregister(self)
        self._end_rest()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Closes at once."""
        if self.transport is not None:
            self.transport.abort()

    def touch(self, state: ConnectionState) -> None:
        """Notes what the connection does, or that it gets on with it."""
        self.state = state
        self._connections.touch(self, state)

    def begin(self, message: Any, payload: Any) -> None:
        """A request's header has come."""
        self.body_bytes = self._bytes = 0
        self._payload = payload
        if payload.is_eof():
            self._chunked, self._left = False, 0
            if self.state is not ConnectionState.RUNNING:
                self.touch(ConnectionState.RUNNING)
        else:
            self._chunked = message.chunked
            self._left = content_length(message.headers) - payload.total_bytes
            self.touch(ConnectionState.RECEIVING)

    def write_continue(self) -> None:
        """Tells a client that asked first to send its body."""
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if self._unfed or (data and self._must_wait(data)):
            self._unfed += data
            if len(self._unfed) > _TURN_BYTES:
                self._pause_transport_reading()
            self._turns.take(self)
        else:
            self._feed(data)

    def _must_wait(self, data: bytes) -> bool:
        """Whether it may be further requests, or costs more than others of its length: chunks of a byte do."""
        if self.state is ConnectionState.RECEIVING:
            return self._chunked or len(data) > self._left
        if self.state is ConnectionState.RUNNING or self.state is ConnectionState.SENDING:
            return True
        if len(data) > _TURN_BYTES and (self._bytes > 0 or b"chunked" in data.lower()):
            return True
        return not self._turns.begin()

    def take_turn(self) -> bool:
        """Parses a piece of what waits; False where it is not the time for more."""
        if self._busy() or self._reading_paused or self._discarding or self.transport is None:
            return False
        piece = bytes(self._unfed[:_TURN_BYTES])
        del self._unfed[:_TURN_BYTES]
        self._feed(piece)
        if self._unfed:
            return True
        if self._ended and not self._busy() and (self._payload is None or not self._payload.is_eof()):
            self.evict()  # what it has begun it cannot finish
        self._read_on()
        return False

    def _busy(self) -> bool:
        """Whether a request is being answered, or is going to be."""
        return self.state is ConnectionState.RUNNING or self.state is ConnectionState.SENDING or bool(self._messages)

    def _feed(self, data: bytes) -> None:
        self._bytes += len(data)
        self._left -= len(data)
        if self.state is ConnectionState.OPENING and self._bytes > _MAX_HEAD_BYTES:
            self.evict()
        elif self._chunked and self._bytes > 2 * self.body_bytes + _MAX_CHUNKS_BYTES:
            self._discarding = True
            self._payload.set_exception(web.RequestPayloadError("chunks of a few bytes, or with long extensions"))
        else:
            super().data_received(data)
            if self.state is ConnectionState.IDLE and data:  # `begin` looks whether the body has come with its header
                self.touch(ConnectionState.RUNNING if self._messages else ConnectionState.OPENING)

    def _read_on(self) -> None:
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp calls this for each chunk that is read, also when nothing was paused, and it takes long."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _resume_transport_reading(self) -> None:
        if not self._unfed and not self._ended:
            super()._resume_transport_reading()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp's says None, asyncio's this
        """Keeps open for a moment what is being answered: the client may have ended its sending alone."""
        self._ended = True
        self._end_rest()
        if self.ssl_context is not None or not (self._busy() or self._unfed):
            return None
        self._loop.call_later(_HALF_CLOSED_SECONDS, self._give_up)
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, in JSON; and what went wrong unexpectedly, in the log."""
        if isinstance(exc, HttpProcessingError):
            status, text = exc.code, f"Not an HTTP request that this server understands: {_shortened(exc.message)}"
        else:
            text = unexpected(exc if isinstance(exc, Exception) else RuntimeError(message), "REST").message
        response = web.Response(status=status, body=error_body(text), content_type=JSON)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer, or the rest of it; returns when the client has taken nearly all."""
        whole = request.content.is_eof()
        if not whole:
            resp.force_close()
        sent = await super().finish_response(request, resp, start_time)
        if self.writing_paused:
            self.touch(ConnectionState.SENDING)
            await request.writer.drain()
        if not resp.keep_alive:
            self.touch(ConnectionState.SENDING)
            if not whole or resp.status >= 400:
                await self._linger()
            return sent
        self._await_next()
        return sent

    def _await_next(self) -> None:
        self._bytes, self._payload, self._chunked = 0, None, False
        self.touch(ConnectionState.IDLE)
        if self._unfed:
            self._turns.take(self)
        elif self._ended and not self._messages:
            self.close()

    async def _linger(self) -> None:
        """Reads on without looking: a socket that is closed with unread bytes resets, and the answer is lost."""
        transport = self.transport
        if transport is None or self._ended:
            return
        self._discarding, self._rest = True, self._loop.create_future()
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()
        await asyncio.wait([self._rest], timeout=_LINGER_SECONDS)

    def _end_rest(self) -> None:
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def _give_up(self) -> None:
        if self.state is ConnectionState.RUNNING:
            self.evict()
        elif self.state is ConnectionState.SENDING:
            self._loop.call_later(_HALF_CLOSED_SECONDS, self._give_up)


def content_length(headers: Mapping[str, str]) -> int:
    """The length that a request's header gives, 0 without one. The parser knows that it is a number below 2**64."""
    return int(headers.get("Content-Length", "").lstrip("0") or 0)


def _shortened(words: str) -> str:
    return words.encode("utf-8", "replace")[:_WORDS_BYTES].decode("utf-8", "ignore")
