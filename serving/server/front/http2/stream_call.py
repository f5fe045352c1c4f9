"""One gRPC call: what comes on its stream, the task that answers it, and what goes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from serving.errors import Code, StatusError
from serving.server.calls.budget import Reservation
from serving.server.calls.internal_error import unexpected
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.grpc_handlers import Method
from serving.server.front.http2 import grpc_headers, nghttp2
from serving.server.front.http2.grpc_messages import Assembly, Message
from serving.server.front.http2.message_compression import unpacked
from serving.server.front.http2.outgoing import Outgoing

if TYPE_CHECKING:
    from serving.server.front.http2.http2_connection import Connection

PROGRESS_BYTES = 2**20  # of an answer: fewer read are none
_SOON_SECONDS = 0.05  # a client that gives a call up sooner has hardly meant it
_CLOCKS_SECONDS = 0.02  # by which a client's deadline may come before ours
_MAX_QUEUED = 2**20  # bytes of a stream's messages that wait for being answered, or for being read


class Call:
    """Made when the headers begin; ended by `closed`, which comes once for each.

    Attributes:
        connection, stream: its connection and its number there.
        fields: its headers by name, as they came; the last one of several alike.
        deadline: a time of the event loop's clock, None for none.
        held: what the call holds of the budget.
        since: when it last got on, by the loop's clock: with its message, or with the client's reading of the answer.
    """

    def __init__(self, connection: Connection, stream: int, now: float) -> None:
        self.connection, self.stream, self.since = connection, stream, now
        self.fields: dict[bytes, bytes] = {}
        self.size = 0  # of the headers
        self.deadline: float | None = None
        self.held: Reservation = connection.server.make_held()
        self.begun = False  # whether the headers are complete
        self.over = False  # whether its end is decided: what comes is ignored
        self._method: Method | None = None
        self._assembly: Assembly | None = None
        self._encoding = "identity"
        self._queue: deque[Message] = deque()
        self._queued = 0
        self._ended = self._gone = self._responded = self._finished = self._entered = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._out = Outgoing()
        self._sent = 0
        self._status: StatusError | None = None

    @property
    def peer(self) -> str:
        """Who asks, as gRPC writes it, such as ipv4:127.0.0.1:4711."""
        return self.connection.peer

    def metadata(self) -> Mapping[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}

    @property
    def receiving(self) -> bool:
        """Whether a message is to come, or has come in part."""
        if self._ended or self.over:
            return False
        return self._task is None or (self._assembly is not None and self._assembly.partial)

    @property
    def sending(self) -> bool:
        """Whether the client has something to read."""
        return bool(self._out)

    def reserved(self) -> int:
        """Bytes that a large message has reserved that is still coming; 0 for any other call."""
        assembly = self._assembly
        if self.over or assembly is None or assembly.length <= INLINE_BYTES:
            return 0
        return assembly.length

    def stalls(self, since: float, bytes_a_second: float) -> bool:
        """Whether it is a large message that began before `since` and comes more slowly than so."""
        assembly, seconds = self._assembly, since - self.since
        return bool(self.reserved() and assembly and seconds > 0 and assembly.filled < seconds * bytes_a_second)

    def is_early(self, now: float) -> bool:
        """Whether a client that gives the call up now cannot have waited for it: neither for a while, nor as long as it
        said that it would."""
        if self.over or now - self.since >= _SOON_SECONDS:
            return False
        return self.deadline is None or now < self.deadline - _CLOCKS_SECONDS

    def began(self, last: bool) -> None:
        """The headers are complete."""
        self.begun = True
        server = self.connection.server
        if not grpc_headers.is_grpc(self.fields):
            self._refuse_http()
            return
        try:
            self._method = server.methods.get(self.fields.get(b":path", b""))
            if self._method is None or self.fields.get(b":method") != b"POST":
                raise StatusError(Code.UNIMPLEMENTED, "Method not found!")
            self._encoding = grpc_headers.encoding_of(self.fields)
            timeout = grpc_headers.timeout_of(self.fields)
        except StatusError as error:
            self.end(error)
            return
        if timeout is not None:
            loop = server.loop
            self.deadline = loop.time() + timeout
            self._timer = loop.call_at(self.deadline, self._late)
        if self._method.stream is not None:
            if not self.connection.server.may_stream(self.connection):
                self.end(StatusError(Code.RESOURCE_EXHAUSTED, "Too many streams of messages are open"))
                return
            self._start(self._stream(self._method.stream), 1)
        if last:
            self.ended()

    def data(self, address: int, length: int) -> None:
        """A part of the body has come."""
        if self.over or self._method is None:
            return
        if self._assembly is None:
            self._assembly = Assembly(self.connection.server.settings.max_receive_bytes, self._admit)
        if not self._assembly.partial and self._method.stream is not None:
            self.since = self.connection.server.loop.time()
        try:
            done = self._assembly.feed(address, length)
            for message in done:
                self._queue.append(message)
                self._queued += len(message.content)
            if self._method.unary is not None and len(self._queue) > 1:
                raise _not_one()
            if self._method.stream is not None and self._queued > _MAX_QUEUED:
                raise StatusError(Code.RESOURCE_EXHAUSTED, f"Over {_MAX_QUEUED} bytes of messages wait for an answer")
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
            self.end(_not_one())
        else:
            self._start(self._unary(self._method.unary, self._queue.popleft()), 0)

    def closed(self) -> None:
        """The stream or its connection has ended."""
        self._gone = self.over = True
        self._out.clear()
        self._cancel()
        self._release()

    def end(self, error: StatusError | None) -> None:
        """Decides how the call ends; once. What has been given to `send` goes first."""
        if error is not None:
            # Its traceback would keep the frames alive that it came through, with the message of the request.
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
        """Ends the stream, whatever the client has not read."""
        self.connection.session.reset(self.stream, nghttp2.CANCEL)
        self.connection.flush_soon()

    def send(self, message: bytes) -> None:
        """Gives a message of the answer to the client."""
        self._out.put(message)
        self.since = self.connection.server.loop.time()

    def read(self, address: int, length: int) -> tuple[int, int]:
        """Writes what is next of the answer: see `Events.read`."""
        written = self._out.write(address, length)
        self._sent += written
        if self._sent >= PROGRESS_BYTES:
            self._sent, self.since = 0, self.connection.server.loop.time()
        if self._out:
            return written, 0
        if not self.over:
            self._wake()
            return (written, 0) if written else (nghttp2.DEFERRED, 0)
        session = self.connection.session
        session.trailers(self.stream, grpc_headers.OK if self._status is None else grpc_headers.trailers(self._status))
        self._finished = True
        if not self._ended:
            self.connection.reset_after(self.stream)
        self._release()
        return written, nghttp2.DATA_EOF | nghttp2.DATA_NO_END_STREAM

    def _respond(self) -> None:
        self._responded = True
        self.connection.session.respond(self.stream, grpc_headers.ANSWER, body=True)

    def _refuse_http(self) -> None:
        """It is no gRPC, so its client may not know that an answer can come before the end of the body."""
        self.over = self._finished = True
        self.connection.session.respond(self.stream, grpc_headers.NO_GRPC, body=False)
        self.connection.flush_soon()

    def _admit(self, size: int) -> None:
        self.connection.server.admit(self, size)

    def _late(self) -> None:
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

    async def _unary(self, answer: Callable[[bytes, Call], Awaitable[bytes]], message: Message) -> None:
        if len(message.content) <= INLINE_BYTES:  # else it has been admitted
            self.held.take(size=len(message.content))
        content = message.content if not message.packed else await self._unpacked(message.content)
        del message
        answered = await answer(content, self)
        del content
        settings = self.connection.server.settings
        if len(answered) > settings.max_send_bytes:
            got = f"{len(answered)} vs. {settings.max_send_bytes}"
            raise StatusError(Code.RESOURCE_EXHAUSTED, f"Sent message larger than max ({got})")
        if len(answered) > INLINE_BYTES:
            self.held.release()  # of the request nothing is left
            self.held.take(size=len(answered))
        if not self.over:
            self.send(answered)

    async def _stream(self, answer: Callable[[AsyncIterator[bytes], Call], AsyncIterator[bytes]]) -> None:
        async with contextlib.aclosing(answer(self._messages(), self)) as answers:  # type: ignore[type-var]
            async for message in answers:
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
            self._queued -= len(message.content)
            yield message.content if not message.packed else await self._unpacked(message.content)

    async def _unpacked(self, packed: bytes) -> bytes:
        server = self.connection.server
        limit = server.settings.max_receive_bytes
        return await unpacked(packed, self._encoding, limit, self.held, server.unpackers)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and self._entered:
            self._task.cancel()

    def _release(self) -> None:
        """What the call holds ends with its task and its stream."""
        if self._task is None and (self._gone or self._finished):
            self.held.release()


def _not_one() -> StatusError:
    return StatusError(Code.INTERNAL, "The call has one message: got none, or several")
