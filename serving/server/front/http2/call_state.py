"""The state of one call on a stream, as its connection, its server and their timers read it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from serving.errors import StatusError
from serving.server.calls.request_limits import Reservation
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.grpc_call import GrpcMethod
from serving.server.front.http2.grpc_messages import GrpcMessage, MessageAssembly
from serving.server.front.http2.outgoing_messages import OutgoingMessages

if TYPE_CHECKING:
    from serving.server.front.http2.http2_connection import Http2Connection

_EARLY_SECONDS = 0.05  # a client that cancels sooner has hardly waited for the call
_CLOCK_TOLERANCE_SECONDS = 0.02  # by which a client's deadline may come before the server's


class CallState:
    """Created when the headers begin.

    Attributes:
        connection, stream: the connection, and the number of the stream on it.
        fields: the headers by name, as received; the last of several with the same name.
        size: bytes of the headers, counted as HTTP/2 does.
        deadline: a time of the event loop's clock, None for no deadline.
        held: what the call holds of the budget.
        since: when the call last made progress, by the loop's clock: with its message, or with the client's reading of
            the response.
        begun: whether the headers are complete.
        over: whether its end is decided: what still arrives is ignored.
    """

    def __init__(self, connection: Http2Connection, stream: int, now: float) -> None:
        self.connection, self.stream, self.since = connection, stream, now
        self.fields: dict[bytes, bytes] = {}
        self.size = 0
        self.deadline: float | None = None
        self.held: Reservation = connection.server.new_reservation()
        self.begun = False
        self.over = False
        self._method: GrpcMethod | None = None
        self._assembly: MessageAssembly | None = None
        self._encoding = "identity"
        self._queue: deque[GrpcMessage] = deque()
        self._queued_bytes = 0
        # The client sends no more; the stream is closed; the response's headers, its end are sent; the task has begun.
        self._ended = self._gone = self._responded = self._finished = self._entered = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._out = OutgoingMessages()
        self._sent = 0
        self._status: StatusError | None = None

    @property
    def peer(self) -> str:
        """The client's address, as gRPC writes it: ipv4:127.0.0.1:4711."""
        return self.connection.peer

    def metadata(self) -> Mapping[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}

    @property
    def receiving(self) -> bool:
        """Whether a message is still to arrive, wholly or in part."""
        if self._ended or self.over:
            return False
        return self._task is None or (self._assembly is not None and self._assembly.partial)

    @property
    def sending(self) -> bool:
        """Whether the client has something to read."""
        return bool(self._out)

    def reserved(self) -> int:
        """Bytes reserved for a large message that is still arriving; 0 for any other call."""
        assembly = self._assembly
        if self.over or assembly is None or assembly.length <= INLINE_BYTES:
            return 0
        return assembly.length

    def stalls(self, since: float, bytes_a_second: float) -> bool:
        """Whether it is a large message that began before `since` and arrives more slowly than this rate."""
        assembly, seconds = self._assembly, since - self.since
        return bool(self.reserved() and assembly and seconds > 0 and assembly.filled < seconds * bytes_a_second)

    def is_early(self, now: float) -> bool:
        """Whether a client that cancels now cannot have waited for the call: neither for a while nor until its
        deadline."""
        if self.over or now - self.since >= _EARLY_SECONDS:
            return False
        return self.deadline is None or now < self.deadline - _CLOCK_TOLERANCE_SECONDS
