"""What --grpc_channel_arguments can change, by gRPC's names of its arguments (grpc/impl/channel_arg_names.h)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

_MILLISECONDS = {
    "grpc.max_connection_age_ms": "max_age",
    "grpc.max_connection_age_grace_ms": "max_age_grace",
    "grpc.max_connection_idle_ms": "max_idle",
    "grpc.keepalive_time_ms": "keepalive_time",
    "grpc.keepalive_timeout_ms": "keepalive_timeout",
}
_NUMBERS = {
    "grpc.max_receive_message_length": "max_receive_bytes",
    "grpc.max_send_message_length": "max_send_bytes",
    "grpc.max_concurrent_streams": "max_streams",
}
_NEVER = 2**31 - 1  # gRPC's number for "no limit" of times


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of all connections. Times in seconds.

    Attributes:
        max_receive_bytes, max_send_bytes: of one message.
        max_streams: of one connection at a time, None for ours.
        max_age, max_age_grace, max_idle: of a connection; the grace is what calls have left after the age.
        keepalive_time, keepalive_timeout: silence before a ping, and before its answer.
    """

    max_receive_bytes: int
    max_send_bytes: float = math.inf
    max_streams: int | None = None
    max_age: float = math.inf
    max_age_grace: float = math.inf
    max_idle: float = math.inf
    keepalive_time: float = 7200.0
    keepalive_timeout: float = 20.0


def settings_of(arguments: Iterable[tuple[str, Any]], max_message_bytes: int) -> tuple[Settings, list[str]]:
    """The settings, and the names of those arguments that have no effect."""
    changes: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in arguments:
        if name in _MILLISECONDS and isinstance(value, int):
            changes[_MILLISECONDS[name]] = math.inf if value >= _NEVER or value < 0 else value / 1e3
        elif name in _NUMBERS and isinstance(value, int):
            changes[_NUMBERS[name]] = math.inf if value < 0 else value
        else:
            unknown.append(name)
    if changes.get("max_streams") == math.inf:
        del changes["max_streams"]
    return dataclasses.replace(Settings(max_message_bytes), **changes), unknown
