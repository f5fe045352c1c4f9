"""One gRPC call: its stream's events, the task that handles it, and its response."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from serving.errors import Code, StatusError, unexpected
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.http2 import grpc_headers, nghttp2
from serving.server.front.http2.call_state import CallState
from serving.server.front.http2.grpc_messages import GrpcMessage, MessageAssembly
from serving.server.front.http2.message_compression import decompress

PROGRESS_BYTES = 2**20  # of a response: reading fewer is not progress
_MAX_QUEUED_BYTES = 2**20  # of a stream's messages that wait to be handled, or to be read


class StreamCall(CallState):
    """Ends with `closed`, which is called once."""

    def headers_complete(self, last: bool) -> None:
        """The headers have arrived; `last`: nothing follows them."""
        self.begun = True
        server = self.connection.server
        if not grpc_headers.is_grpc(self.fields):
            # Not reset: such a client may not know that a response can come before the end of the body.
            self.over = self._finished = True
            self.connection.session.respond(self.stream, grpc_headers.NOT_GRPC, body=False)
            self.connection.flush_soon()
            return
        try:
            self._method = server.methods.get(self.fields.get(b":path", b""))
            if self._method is None or self.fields.get(b":method") != b"POST":
                raise StatusError(Code.UNIMPLEMENTED, "Method not found!")
            self._encoding = grpc_headers.parse_encoding(self.fields)
            timeout = grpc_headers.parse_timeout(self.fields)
        except StatusError as error:
            self.end(error)
            return
        if timeout is not None:
            loop = server.loop
            self.deadline = loop.time() + timeout
            self._timer = loop.call_at(self.deadline, self._deadline_passed)
        if self._method.stream is not None:
            if not self.connection.server.may_open_stream(self.connection):
                self.end(StatusError(Code.RESOURCE_EXHAUSTED, "Too many streams of messages are open"))
                return
            self._start(self._stream(self._method.stream), 1)
        if last:
            self.ended()

    def data(self, address: int, length: int) -> None:
        """Part of the body has arrived."""
        if self.over or self._method is None:
            return
        if self._assembly is None:
            server = self.connection.server
            self._assembly = MessageAssembly(server.settings.max_receive_bytes, partial(server.admit, self))
        if not self._assembly.partial and self._method.stream is not None:
            self.since = self.connection.server.loop.time()
        try:
            done = self._assembly.feed(address, length)
            for message in done:
                self._queue.append(message)
                self._queued_bytes += len(message.content)
            if self._method.unary is not None and len(self._queue) > 1:
                raise _not_one_message()
            if self._method.stream is not None and self._queued_bytes > _MAX_QUEUED_BYTES:
                raise StatusError(Code.RESOURCE_EXHAUSTED, f"Over {_MAX_QUEUED_BYTES} bytes of messages are queued")
        except StatusError as error:
            self.end(error)
            return
        if done:
            self._wake()

    def ended(self) -> None:
        """The client sends no more."""
        if self._ended:
            return
        self._ended = True
        if self.over or self._method is None:
            return
        if self._assembly is not None and self._assembly.partial:
            self.end(StatusError(Code.INTERNAL, "The message of the request is cut off"))
        elif self._method.unary is None:
            self._wake()
        elif len(self._queue) != 1:
            self.end(_not_one_message())
        else:
            self._start(self._unary(self._method.unary, self._queue.popleft()), 0)

    def closed(self) -> None:
        """The stream or its connection has ended."""
        self._gone = self.over = True
        self._out.clear()
        self._cancel()
        self._release()

    def end(self, error: StatusError | None) -> None:
        """Decides how the call ends; only the first call has an effect. Messages given to `send` are sent first."""
        if error is not None:
            # Its traceback would keep alive the frames that it came through, with the message of the request.
            error.__traceback__ = error.__context__ = error.__cause__ = None
        if self.over:
            return
        self.over, self.since = True, self.connection.server.loop.time()
        self._queue.clear()
        self._assembly = None
        self._status = error
        session = self.connection.session
        if self._responded:
            session.resume(self.stream)
        elif error is not None:
            session.respond(self.stream, grpc_headers.trailers_only(error), body=False)
            self._finished = True
            if not self._ended:
                self.connection.reset_after(self.stream)
        else:
            self._respond()
        self._cancel()
        self._release()
        self.connection.flush_soon()

    def drop(self) -> None:
        """Ends the stream, even if the client has not read everything."""
        self.connection.session.reset(self.stream, nghttp2.CANCEL)
        self.connection.flush_soon()

    def send(self, message: bytes) -> None:
        """Adds a message to the response."""
        self._out.put(message)
        self.since = self.connection.server.loop.time()

    def read(self, address: int, length: int) -> tuple[int, int]:
        """Writes the next part of the response: see `Http2Connection.read`."""
        written = self._out.write(address, length)
        self._sent += written
        if self._sent >= PROGRESS_BYTES:
            self._sent, self.since = 0, self.connection.server.loop.time()
        if self._out:
            return written, 0
        if not self.over:
            self._wake()
            return (written, 0) if written else (nghttp2.DEFERRED, 0)
        fields = grpc_headers.OK_TRAILERS if self._status is None else grpc_headers.trailers(self._status)
        self.connection.session.trailers(self.stream, fields)
        self._finished = True
        if not self._ended:
            self.connection.reset_after(self.stream)
        self._release()
        return written, nghttp2.DATA_EOF | nghttp2.DATA_NO_END_STREAM

    def _respond(self) -> None:
        self._responded = True
        self.connection.session.respond(self.stream, grpc_headers.RESPONSE, body=True)

    def _deadline_passed(self) -> None:
        self.end(StatusError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self.connection.server.loop.create_future()
        await self._waiter

    def _start(self, work: Coroutine[Any, Any, None], streams: int) -> None:
        self._count(streams, 1 - streams)
        self._task = self.connection.server.loop.create_task(self._run(work, streams))

    def _count(self, streams: int, running: int) -> None:
        self.connection.server.streams += streams
        self.connection.streams += streams
        self.connection.running += running

    async def _run(self, work: Coroutine[Any, Any, None], streams: int) -> None:
        error: StatusError | None = None
        self._entered = True  # from now on it can be cancelled: before, `finally` would not be reached
        try:
            if self.over:
                work.close()
            else:
                await work
        except StatusError as status:
            error = status
        except asyncio.CancelledError:
            error = StatusError(Code.CANCELLED, "The server ends this call")
            raise
        except Exception as failure:  # noqa: BLE001  `unexpected` logs it
            error = unexpected(failure, self.fields[b":path"].decode("latin-1"))
        finally:
            self._task = None
            self._count(-streams, streams - 1)
            self.end(error)
            self._release()

    async def _unary(self, handle: Callable[[bytes, StreamCall], Awaitable[bytes]], message: GrpcMessage) -> None:
        if len(message.content) <= INLINE_BYTES:  # a larger one has been admitted
            self.held.take(size=len(message.content))
        content = message.content if not message.compressed else await self._decompress(message.content)
        del message
        response = await handle(content, self)
        del content
        settings = self.connection.server.settings
        if len(response) > settings.max_send_bytes:
            got = f"{len(response)} vs. {settings.max_send_bytes}"
            raise StatusError(Code.RESOURCE_EXHAUSTED, f"Sent message larger than max ({got})")
        if len(response) > INLINE_BYTES:
            self.held.release()  # the request is gone
            self.held.take(size=len(response))
        if not self.over:
            self.send(response)

    async def _stream(self, handle: Callable[[AsyncIterator[bytes], StreamCall], AsyncIterator[bytes]]) -> None:
        async with contextlib.aclosing(handle(self._messages(), self)) as responses:  # type: ignore[type-var]
            async for message in responses:
                if self.over:
                    return
                self.send(message)
                if self._responded:
                    self.connection.session.resume(self.stream)
                else:
                    self._respond()
                self.connection.flush_soon()
                while self._out.size() > INLINE_BYTES and not self.over:
                    await self._wait()  # until the client has read it

    async def _messages(self) -> AsyncIterator[bytes]:
        while True:
            while not self._queue:
                if self._ended:
                    return
                await self._wait()
            message = self._queue.popleft()
            self._queued_bytes -= len(message.content)
            yield message.content if not message.compressed else await self._decompress(message.content)

    async def _decompress(self, compressed: bytes) -> bytes:
        server = self.connection.server
        limit = server.settings.max_receive_bytes
        return await decompress(compressed, self._encoding, limit, self.held, server.decompression_threads)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and self._entered:
            self._task.cancel()

    def _release(self) -> None:
        """Releases what the call holds once both its task and its stream have ended."""
        if self._task is None and (self._gone or self._finished):
            self.held.release()


def _not_one_message() -> StatusError:
    return StatusError(Code.INTERNAL, "The call takes one message: got none, or several")
