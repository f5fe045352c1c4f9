"""What a gRPC method is to what carries it: nghttp2 or grpcio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from serving.server.calls.budget import Reservation


class Call(Protocol):
    """One call, as what answers it sees it.

    Attributes:
        deadline: a time of the event loop's clock, None for none.
        held: what it holds of the budget, the bytes of its message included; released by what carries it.
        peer: who asks, as gRPC writes it: ipv4:127.0.0.1:4711, ipv6:[::1]:4711, unix:; empty where it is not known.
    """

    deadline: float | None
    held: Reservation

    @property
    def peer(self) -> str: ...

    def metadata(self) -> Mapping[str, str]:
        """The headers, of several alike the last."""


@dataclass(frozen=True, slots=True)
class Method:
    """`unary` answers a message with one, `stream` messages with messages; one of both is there. They may raise
    StatusError.

    `one`: whether a stream begins with one message and has no other.
    """

    unary: Callable[[bytes, Call], Awaitable[bytes]] | None = None
    stream: Callable[[AsyncIterator[bytes], Call], AsyncIterator[bytes]] | None = None
    one: bool = False
