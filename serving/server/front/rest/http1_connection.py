"""One HTTP/1 connection of the REST server: aiohttp's, under the rules of `Connections`.

aiohttp parses and writes. This module adds what aiohttp leaves open: how long and with how much a client may keep the
server waiting, what happens when it has left, and JSON responses to input that is not HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from serving.errors import unexpected
from serving.server.front.connections import Connections, ConnectionState
from serving.server.front.json.json_errors import error_body
from serving.server.front.rest.parsing_turns import ParsingTurns

JSON = "application/json"

_READ_BYTES = 2**16  # at a time, so that no connection occupies the loop for long
_TURN_BYTES = 2**14
_MAX_HEADERS = 100
_MAX_HEAD_BYTES = 2**17  # of a request line and headers, including anything else in the same read
_MAX_CHUNKS_BYTES = 2**16  # of chunks, beyond twice their content
_BUFFER_BYTES = 2**16  # of responses that the system has not taken yet; beyond them, the next request waits
_HALF_CLOSED_SECONDS = 1.0  # for the response to a client that stopped sending: it may be reading, or gone
_LINGER_SECONDS = 1.0  # for a client to read a response that was sent before its request had ended
_QUOTED_BYTES = 500  # of the client's input in an error message
_SILENT = logging.getLogger("serving.aiohttp")  # aiohttp would log a traceback for each request that is not HTTP
_SILENT.setLevel(logging.CRITICAL + 1)


class Http1Connection(web.RequestHandler):
    """See the module.

    Attributes:
        state: as last passed to `Connections`.
        body_bytes: of the current request's body, as far as it has been read.
    """

    __slots__ = (
        "_body_left",
        "_chunked",
        "_client_ended",
        "_connections",
        "_discarding",
        "_input_ended",
        "_payload",
        "_received",
        "_turns",
        "_unparsed",
        "body_bytes",
        "state",
    )

    def __init__(self, server: web.Server, connections: Connections, turns: ParsingTurns) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=_SILENT,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own default is None
            max_headers=_MAX_HEADERS,
            lingering_time=0,  # see `_linger`
            auto_decompress=False,
        )
        self._connections, self._turns = connections, turns
        self.state = ConnectionState.OPENING
        self.body_bytes = 0
        self._received = 0  # bytes since the header began, then since the body began
        self._body_left = 0  # bytes of a body of known length
        self._payload: Any = None
        self._chunked = False
        self._unparsed = bytearray()
        self._input_ended = self._discarding = False
        self._client_ended: asyncio.Future[None] | None = None  # while `_linger` waits for it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_BUFFER_BYTES)
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]  # of asyncio's selector transports
        self._connections.register(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.unregister(self)
        self._end_lingering()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Closes at once."""
        if self.transport is not None:
            self.transport.abort()

    def touch(self, state: ConnectionState) -> None:
        """Notes a new state, or progress in the current one."""
        self.state = state
        self._connections.touch(self, state)

    def begin_request(self, message: Any, payload: Any) -> None:
        """Called when a request's header has been parsed."""
        self.body_bytes = self._received = 0
        self._payload = payload
        if payload.is_eof():
            self._chunked, self._body_left = False, 0
            if self.state is not ConnectionState.RUNNING:
                self.touch(ConnectionState.RUNNING)
        else:
            self._chunked = message.chunked
            self._body_left = content_length(message.headers) - payload.total_bytes
            self.touch(ConnectionState.RECEIVING)

    def write_continue(self) -> None:
        """Asks a client that sent `Expect: 100-continue` to send its body."""
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if self._unparsed or (data and self._must_wait(data)):
            self._unparsed += data
            if len(self._unparsed) > _TURN_BYTES:
                self._pause_transport_reading()
            self._turns.enqueue(self)
        else:
            self._feed(data)

    def _must_wait(self, data: bytes) -> bool:
        """Whether the data may hold further requests, or is costly for its length, as one-byte chunks are."""
        if self.state is ConnectionState.RECEIVING:
            return self._chunked or len(data) > self._body_left
        if self.state is ConnectionState.RUNNING or self.state is ConnectionState.SENDING:
            return True
        if len(data) > _TURN_BYTES and (self._received > 0 or b"chunked" in data.lower()):
            return True
        return not self._turns.may_begin()

    def take_turn(self) -> bool:
        """Parses the next piece of the waiting input. Returns whether the connection needs another turn."""
        if self._busy() or self._reading_paused or self._discarding or self.transport is None:
            return False
        piece = bytes(self._unparsed[:_TURN_BYTES])
        del self._unparsed[:_TURN_BYTES]
        self._feed(piece)
        if self._unparsed:
            return True
        if self._input_ended and not self._busy() and (self._payload is None or not self._payload.is_eof()):
            self.evict()  # the client has sent only part of a request
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()
        return False

    def _busy(self) -> bool:
        """Whether a request is being handled, or is about to be."""
        return self.state is ConnectionState.RUNNING or self.state is ConnectionState.SENDING or bool(self._messages)

    def _feed(self, data: bytes) -> None:
        self._received += len(data)
        self._body_left -= len(data)
        if self.state is ConnectionState.OPENING and self._received > _MAX_HEAD_BYTES:
            self.evict()
        elif self._chunked and self._received > 2 * self.body_bytes + _MAX_CHUNKS_BYTES:
            self._discarding = True
            self._payload.set_exception(web.RequestPayloadError("chunks of a few bytes, or with long extensions"))
        else:
            super().data_received(data)
            if self.state is ConnectionState.IDLE and data:  # the body may have come with its header
                self.touch(ConnectionState.RUNNING if self._messages else ConnectionState.OPENING)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp calls this for each chunk that is read, even if nothing was paused, and its own version is slow."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _resume_transport_reading(self) -> None:
        if not self._unparsed and not self._input_ended:
            super()._resume_transport_reading()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp returns None, asyncio this
        """Stays open briefly while a request is handled: the client may have closed only its sending side."""
        self._input_ended = True
        self._end_lingering()
        if self.ssl_context is not None or not (self._busy() or self._unparsed):
            return None
        self._loop.call_later(_HALF_CLOSED_SECONDS, self._evict_half_closed)
        return True

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The JSON response to input that is not HTTP, or to an unexpected failure, which is also logged."""
        if isinstance(exc, HttpProcessingError):
            quoted = exc.message.encode("utf-8", "replace")[:_QUOTED_BYTES].decode("utf-8", "ignore")
            status, text = exc.code, f"Not an HTTP request that this server understands: {quoted}"
        else:
            text = unexpected(exc if isinstance(exc, Exception) else RuntimeError(message), "REST").message
        response = web.Response(status=status, body=error_body(text), content_type=JSON)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the response, or the rest of it; returns when the client has taken nearly all of it."""
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
        self._await_next_request()
        return sent

    def _await_next_request(self) -> None:
        self._received, self._payload, self._chunked = 0, None, False
        self.touch(ConnectionState.IDLE)
        if self._unparsed:
            self._turns.enqueue(self)
        elif self._input_ended and not self._messages:
            self.close()

    async def _linger(self) -> None:
        """Reads and discards: closing a socket with unread bytes resets it, and the response would be lost."""
        transport = self.transport
        if transport is None or self._input_ended:
            return
        self._discarding, self._client_ended = True, self._loop.create_future()
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()
        await asyncio.wait([self._client_ended], timeout=_LINGER_SECONDS)

    def _end_lingering(self) -> None:
        if self._client_ended is not None and not self._client_ended.done():
            self._client_ended.set_result(None)

    def _evict_half_closed(self) -> None:
        if self.state is ConnectionState.RUNNING:
            self.evict()
        elif self.state is ConnectionState.SENDING:
            self._loop.call_later(_HALF_CLOSED_SECONDS, self._evict_half_closed)


def content_length(headers: Mapping[str, str]) -> int:
    """The length in a request's header, 0 if absent. The parser has checked that it is a number below 2**64."""
    return int(headers.get("Content-Length", "").lstrip("0") or 0)
