"""gRPC's health service (grpc/health/v1/health.proto)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.server.front.grpc_handlers import Call, Method
from serving.wire import protos

SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3

HealthCheckRequest: Any = protos.message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Any = protos.message("grpc.health.v1.HealthCheckResponse")


class Health:
    """What is healthy, by service name ("" for the whole server), and who wants to know."""

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def set(self, serving: Mapping[str, bool]) -> None:
        """Replaces the statuses of all services; watchers are told what changed."""
        if self._closed:
            return
        status = {name: SERVING if good else NOT_SERVING for name, good in serving.items()}
        if status != self._status:
            self._status = status
            self._tell()

    def close(self) -> None:
        """Everything is NOT_SERVING from now on."""
        self._closed = True
        self._status = dict.fromkeys(self._status, NOT_SERVING)
        self._tell()

    def methods(self) -> dict[str, Method]:
        """By path."""
        return {f"/{SERVICE}/Check": Method(self._check), f"/{SERVICE}/Watch": Method(stream=self._watch, one=True)}

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, body: bytes, call: Call) -> bytes:
        status = self._status.get(_parsed(body).service)
        if status is None:
            raise StatusError(Code.NOT_FOUND, "")
        return bytes(HealthCheckResponse(status=status).SerializeToString())

    async def _watch(self, bodies: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        told = None
        async for body in bodies:
            name = _parsed(body).service
            while True:
                changed = self._changed
                status = self._status.get(name, SERVICE_UNKNOWN)
                if status != told:
                    told = status
                    yield HealthCheckResponse(status=status).SerializeToString()
                if self._closed:
                    return  # a stream that stayed open would hold up the end of the server
                await changed.wait()


def _parsed(body: bytes) -> Any:
    try:
        return HealthCheckRequest.FromString(body)
    except DecodeError as error:
        raise StatusError(Code.INTERNAL, "The request is no grpc.health.v1.HealthCheckRequest message") from error
