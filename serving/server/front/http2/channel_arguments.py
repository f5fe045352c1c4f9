"""What --grpc_channel_arguments can change, by gRPC's argument names (grpc/impl/channel_arg_names.h)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

_ATTRIBUTES = {
    "grpc.max_connection_age_ms": "max_age",
    "grpc.max_connection_age_grace_ms": "max_age_grace",
    "grpc.max_connection_idle_ms": "max_idle",
    "grpc.keepalive_time_ms": "keepalive_time",
    "grpc.keepalive_timeout_ms": "keepalive_timeout",
    "grpc.max_receive_message_length": "max_receive_bytes",
    "grpc.max_send_message_length": "max_send_bytes",
    "grpc.max_concurrent_streams": "max_streams",
}
_NO_LIMIT = 2**31 - 1  # in gRPC's time arguments


@dataclasses.dataclass(frozen=True)
class ConnectionSettings:
    """Limits of every connection. Times in seconds.

    Attributes:
        max_receive_bytes, max_send_bytes: of one message.
        max_streams: open on a connection at a time; None for the default.
        max_age, max_age_grace, max_idle: of a connection; the grace is how long its calls may continue after the age.
        keepalive_time, keepalive_timeout: silence before a ping, and the wait for its reply.
    """

    max_receive_bytes: int
    max_send_bytes: float = math.inf
    max_streams: int | None = None
    max_age: float = math.inf
    max_age_grace: float = math.inf
    max_idle: float = math.inf
    keepalive_time: float = 7200.0
    keepalive_timeout: float = 20.0


def parse_channel_arguments(
    arguments: Iterable[tuple[str, Any]], max_message_bytes: int
) -> tuple[ConnectionSettings, list[str]]:
    """Returns the settings, and the names of the arguments that have no effect."""
    changes: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in arguments:
        if name not in _ATTRIBUTES or not isinstance(value, int):
            unknown.append(name)
        elif name.endswith("_ms"):
            changes[_ATTRIBUTES[name]] = math.inf if value >= _NO_LIMIT or value < 0 else value / 1e3
        else:
            changes[_ATTRIBUTES[name]] = math.inf if value < 0 else value
    if changes.get("max_streams") == math.inf:
        del changes["max_streams"]
    return dataclasses.replace(ConnectionSettings(max_message_bytes), **changes), unknown
