"""gRPC's health service (grpc/health/v1/health.proto)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError
from serving.server.front.grpc_call import GrpcCall, GrpcMethod
from serving.wire import protos

SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3

HealthCheckRequest: Any = protos.message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Any = protos.message("grpc.health.v1.HealthCheckResponse")


class Health:
    """The health of each service by name ("" for the whole server), and its watchers."""

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def set(self, serving: Mapping[str, bool]) -> None:
        """Replaces the statuses of all services, and notifies watchers of changes."""
        if self._closed:
            return
        status = {name: SERVING if good else NOT_SERVING for name, good in serving.items()}
        if status != self._status:
            self._status = status
            self._notify()

    def close(self) -> None:
        """Sets all services to NOT_SERVING for good."""
        self._closed = True
        self._status = dict.fromkeys(self._status, NOT_SERVING)
        self._notify()

    def methods(self) -> dict[str, GrpcMethod]:
        """The methods by path."""
        watch = GrpcMethod(stream=self._watch, single_request=True)
        return {f"/{SERVICE}/Check": GrpcMethod(self._check), f"/{SERVICE}/Watch": watch}

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, body: bytes, call: GrpcCall) -> bytes:
        status = self._status.get(_parse(body).service)
        if status is None:
            raise StatusError(Code.NOT_FOUND, "")
        return bytes(HealthCheckResponse(status=status).SerializeToString())

    async def _watch(self, bodies: AsyncIterator[bytes], call: GrpcCall) -> AsyncIterator[bytes]:
        last = None
        async for body in bodies:
            name = _parse(body).service
            while True:
                changed = self._changed
                status = self._status.get(name, SERVICE_UNKNOWN)
                if status != last:
                    last = status
                    yield HealthCheckResponse(status=status).SerializeToString()
                if self._closed:
                    return  # an open stream would delay the shutdown of the server
                await changed.wait()


def _parse(body: bytes) -> Any:
    try:
        return HealthCheckRequest.FromString(body)
    except DecodeError as error:
        raise StatusError(Code.INTERNAL, "The request is not a grpc.health.v1.HealthCheckRequest message") from error
