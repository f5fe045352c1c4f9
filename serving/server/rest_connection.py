"""One connection of REST: aiohttp's HTTP/1 between `Connections` and what answers.

aiohttp parses and writes. Here is what it leaves open: how long and how much a client may keep it waiting, what becomes
of one that has gone, and answers in JSON for what is no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from serving.server.connections import Connections, State
from serving.server.rest_methods import error_body
from serving.server.unexpected import unexpected

JSON = "application/json"

_READ_BYTES = 2**16  # at a time, so that no connection has the loop for long
_CHUNKED_READ_BYTES = 2**13  # likewise, where each few bytes cost as much as a chunk
_MAX_HEADERS = 100
_MAX_HEAD_BYTES = 2**17  # of a request line and headers, with what comes in the same read
_MAX_CHUNKS_BYTES = 2**18  # of chunks beyond twice the bytes in them
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


class RestConnection(web.RequestHandler):
    """See the module.

    Attributes:
        state: what `Connections` has been told.
        body_bytes: of this request's body, as far as it has been read.
    """

    __slots__ = ("_ahead_bytes", "_connections", "_discarding", "_ended", "_payload", "_rest", "body_bytes", "state")

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=_silent(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own default is None
            max_headers=_MAX_HEADERS,
            lingering_time=0,  # see `_linger`
            auto_decompress=False,
        )
        self._connections = connections
        self.state = State.OPENING
        self.body_bytes = 0
        self._ahead_bytes = 0  # that came since the state began: of a header, of a body's chunks, of further requests
        self._payload: Any = None  # of a chunked body
        self._ended = self._discarding = False
        self._rest: asyncio.Future[None] | None = None  # done when a client that is given up on has ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_BUFFER_BYTES)
        _read_at_most(transport, _READ_BYTES)
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

    def touch(self, state: State) -> None:
        """Notes what the connection does, or that it gets on with it."""
        self.state = state
        self._connections.touch(self, state)

    def begin(self, message: Any, payload: Any) -> None:
        """A request's header has come."""
        self.body_bytes = self._ahead_bytes = 0
        self._payload = payload if message.chunked else None
        self.touch(State.RUNNING if payload.is_eof() else State.RECEIVING)
        if message.chunked and self.transport is not None:
            _read_at_most(self.transport, _CHUNKED_READ_BYTES)

    def write_continue(self) -> None:
        """Tells a client that asked first to send its body."""
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if self.state is State.IDLE:
            self.touch(State.OPENING)
        if data:
            self._bound(len(data))
        super().data_received(data)

    def _bound(self, size: int) -> None:
        """Ends or pauses what sends more than belongs to a request."""
        self._ahead_bytes += size
        if self.state is State.OPENING:
            if self._ahead_bytes > _MAX_HEAD_BYTES:
                self.evict()
        elif self.state is State.RECEIVING:
            if self._payload is not None and self._ahead_bytes > 2 * self.body_bytes + _MAX_CHUNKS_BYTES:
                self._payload.set_exception(web.RequestPayloadError("chunks of a few bytes, or with long extensions"))
                self._discarding = True
        elif self._ahead_bytes > _READ_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp's says None, asyncio's this
        """Keeps open for a moment what is being answered: the client may have ended its sending alone."""
        self._ended = True
        self._end_rest()
        if self.state not in (State.RUNNING, State.SENDING) or self.ssl_context is not None:
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
            status, text = exc.code, _shortened(exc.message)
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
            self.touch(State.SENDING)
            await request.writer.drain()
        if not resp.keep_alive:
            self.touch(State.SENDING)
            if not whole or resp.status >= 400:
                await self._linger()
            return sent
        self._await_next()
        return sent

    def _await_next(self) -> None:
        self._ahead_bytes = 0
        self.touch(State.IDLE)
        if self._ended and not self._messages:
            self.close()
        elif self.transport is not None:
            _read_at_most(self.transport, _READ_BYTES)
            if not self._reading_paused and not self._buffer_paused:
                self.transport.resume_reading()

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
        if self.state is State.RUNNING:
            self.evict()
        elif self.state is State.SENDING:
            self._loop.call_later(_HALF_CLOSED_SECONDS, self._give_up)


def _read_at_most(transport: asyncio.Transport, size: int) -> None:
    """Of the transports of asyncio's selector loop; another reads as it likes."""
    transport.max_size = size  # type: ignore[attr-defined]


def _shortened(words: str) -> str:
    return words.encode("utf-8", "replace")[:_WORDS_BYTES].decode("utf-8", "ignore")
