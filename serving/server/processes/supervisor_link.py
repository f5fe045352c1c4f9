"""A worker's end of the socket pair to its supervisor; `control_frames.py` describes the protocol.

When a caller leaves (its deadline passes, its connection closes), its request continues, and the reply is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from serving.errors import Code, StatusError, invalid_argument, unexpected
from serving.server.front.server_metrics import Metrics
from serving.server.processes import control_frames
from serving.server.processes.control_frames import Frame, FrameKind
from serving.wire import protos

RELOAD_SECONDS = 600.0
"""Loading a large model takes minutes. After this long, the reload continues without its caller."""

_METRICS_SECONDS = 5.0  # the supervisor waits one second for the other workers
_MAX_RELOADS = 16  # pending, of one worker


class SupervisorLink:
    """See the module. `reload` reloads this worker's configuration, `dump` returns its metrics."""

    def __init__(self, end: socket.socket, reload: Callable[[Any], Awaitable[Any]], dump: Callable[[], bytes]) -> None:
        self._end, self._reload, self._dump = end, reload, dump
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[bytes]] = {}  # until the reply, even if no caller is still waiting
        self._to_reload: asyncio.Queue[Frame] = asyncio.Queue()
        self._may_open = asyncio.Event()
        self._reloads: set[asyncio.Future[bytes]] = set()
        self._gone = False

    async def connect(self) -> None:
        """Opens the connection. `serve` must run afterwards."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._end)

    async def wait_to_open(self) -> None:
        """Reports that the models are loaded, and waits until this worker has the configuration in force."""
        self._send(FrameKind.LOADED, 0)
        await self._may_open.wait()

    def report_ready(self) -> None:
        """Reports that this worker serves."""
        self._send(FrameKind.READY, 0)

    async def reload_all(self, request: Any) -> Any:
        """`ReloadConfigRequest` to `ReloadConfigResponse`, once all workers have reloaded.

        Raises:
            StatusError: a worker failed; INVALID_ARGUMENT, the request is too large; RESOURCE_EXHAUSTED, too many
                reloads wait; DEADLINE_EXCEEDED, it takes long, and continues.
        """
        content = request.SerializeToString()
        if len(content) > control_frames.MAX_CONFIG_BYTES:
            limit = control_frames.MAX_CONFIG_BYTES
            message = f"The configuration has {len(content)} bytes; with several workers the limit is {limit}"
            raise invalid_argument(message)
        if len(self._reloads) >= _MAX_RELOADS:
            message = f"{len(self._reloads)} reloads are already waiting. Try again when they are done"
            raise StatusError(Code.RESOURCE_EXHAUSTED, message)
        reply = self._request(FrameKind.REQUEST_RELOAD, content)
        self._reloads.add(reply)
        reply.add_done_callback(self._reloads.discard)
        try:
            async with asyncio.timeout(RELOAD_SECONDS):
                content = await asyncio.shield(reply)
        except TimeoutError as error:
            message = f"The reload has not finished after {RELOAD_SECONDS:.0f} s. It continues: see the models' status"
            raise StatusError(Code.DEADLINE_EXCEEDED, message) from error
        if (why := control_frames.decode_reload_failure(content)) is not None:
            raise why
        return protos.ReloadConfigResponse.FromString(content[1:])

    async def collect_metrics(self) -> bytes:
        """The merged `Metrics.dump` of all workers.

        Raises:
            StatusError: UNAVAILABLE, the supervisor does not reply.
        """
        try:
            async with asyncio.timeout(_METRICS_SECONDS):
                return await asyncio.shield(self._request(FrameKind.REQUEST_METRICS, b""))
        except TimeoutError as error:
            message = f"The workers' supervisor has not replied for {_METRICS_SECONDS:g} s"
            raise StatusError(Code.UNAVAILABLE, message) from error

    async def serve(self) -> None:
        """Serves the supervisor's requests until it is gone."""
        reloading = asyncio.create_task(self._reload_in_order())
        try:
            await self._receive()
        finally:
            self._gone = True
            reloading.cancel()
            for reply in self._pending.values():
                if not reply.done():
                    reply.set_exception(_supervisor_gone())
                    reply.exception()  # marks it as retrieved: there may be no caller left

    async def _receive(self) -> None:
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := await self._reader.read(2**16):
                buffer += piece
                for frame in control_frames.pop_frames(buffer):
                    self._handle_frame(frame)

    def _handle_frame(self, frame: Frame) -> None:
        kind, number, content = frame
        if kind is FrameKind.REPLY:
            reply = self._pending.pop(number, None)
            if reply is not None and not reply.done():
                reply.set_result(content)
        elif kind is FrameKind.DO_METRICS:
            self._send(FrameKind.METRICS, number, self._dump_metrics())
        elif kind is FrameKind.DO_RELOAD:
            self._to_reload.put_nowait(frame)
        elif kind is FrameKind.OPEN:
            self._may_open.set()

    def _dump_metrics(self) -> bytes:
        try:
            return self._dump()
        except Exception as error:  # noqa: BLE001  `unexpected` logs it; without a reply this worker would seem to hang
            unexpected(error, "Metrics.dump")
            return Metrics().dump()

    async def _reload_in_order(self) -> None:
        """Reloads one after the other, in the supervisor's order, which is the same in every worker."""
        while True:
            _, number, content = await self._to_reload.get()
            try:
                done = control_frames.encode_reload_response(
                    await self._reload(protos.ReloadConfigRequest.FromString(content))
                )
            except StatusError as error:
                done = control_frames.encode_reload_failure(error)
            except Exception as error:  # noqa: BLE001  `unexpected` logs it; without a reply all workers would wait
                done = control_frames.encode_reload_failure(unexpected(error, "HandleReloadConfigRequest"))
            self._send(FrameKind.RELOADED, number, done)

    def _request(self, kind: FrameKind, content: bytes) -> asyncio.Future[bytes]:
        number = next(self._numbers)
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._gone:
            reply.set_exception(_supervisor_gone())
        else:
            self._pending[number] = reply
            self._send(kind, number, content)
        return reply

    def _send(self, kind: FrameKind, number: int, content: bytes = b"") -> None:
        self._writer.write(control_frames.encode_frame(kind, number, content))


def _supervisor_gone() -> StatusError:
    return StatusError(Code.UNAVAILABLE, "The workers' supervisor is gone")
