"""gRPC calls and methods, whichever library carries them: nghttp2 or grpcio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from serving.server.calls.request_limits import Reservation


class GrpcCall(Protocol):
    """One call, as its method sees it.

    Attributes:
        deadline: a time of the event loop's clock, None for no deadline.
        held: what the call holds of the budget, the bytes of its message included; the transport releases it.
        peer: the client's address, as gRPC writes it: ipv4:127.0.0.1:4711, ipv6:[::1]:4711, unix:; empty if it is
            unknown.
    """

    deadline: float | None
    held: Reservation

    @property
    def peer(self) -> str: ...

    def metadata(self) -> Mapping[str, str]:
        """The headers; the last of several with the same name."""


@dataclass(frozen=True, slots=True)
class GrpcMethod:
    """Either `unary`, from one message to one, or `stream`, from messages to messages. Both may raise StatusError.

    `single_request`: whether the client sends exactly one message of a stream.
    """

    unary: Callable[[bytes, GrpcCall], Awaitable[bytes]] | None = None
    stream: Callable[[AsyncIterator[bytes], GrpcCall], AsyncIterator[bytes]] | None = None
    single_request: bool = False
