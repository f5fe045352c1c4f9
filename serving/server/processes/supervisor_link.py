"""A worker's end of the socket pair to its supervisor; `frames.py` says what is spoken.

A caller that leaves (its deadline, its connection) leaves alone: what it asked for goes on, and the answer is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from serving.errors import Code, StatusError
from serving.server.calls.internal_error import unexpected
from serving.server.front.server_metrics import Metrics
from serving.server.processes.frames import MAX_CONFIG_BYTES, Frame, Kind, failed, failure, frame, frames, reloaded
from serving.wire import protos

RELOAD_SECONDS = 600.0
"""Loading a large model takes minutes; after so long its reload goes on, but nobody waits for it any more."""

_METRICS_SECONDS = 5.0  # the supervisor gives the other workers one
_MAX_RELOADS = 16  # that one worker has asked for and that are not answered


class Control:
    """See the module.

    Args:
        end: of the socket pair.
        reload: reloads this worker's configuration.
        dump: this worker's metrics.
    """

    def __init__(self, end: socket.socket, reload: Callable[[Any], Awaitable[Any]], dump: Callable[[], bytes]) -> None:
        self._end, self._reload, self._dump = end, reload, dump
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}  # each until it is answered, whoever still waits
        self._to_reload: asyncio.Queue[Frame] = asyncio.Queue()
        self._may_open = asyncio.Event()
        self._reloads = 0
        self._gone = False

    async def connect(self) -> None:
        """Opens the connection; then `serve` must run."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._end)

    async def may_open(self) -> None:
        """Tells that the models are loaded, and waits until this worker has the configuration that is in force."""
        self._tell(Kind.LOADED, 0)
        await self._may_open.wait()

    def ready(self) -> None:
        """Tells that this worker answers."""
        self._tell(Kind.READY, 0)

    async def reload_all(self, request: Any) -> Any:
        """`ReloadConfigRequest` to `ReloadConfigResponse`, when all workers have reloaded.

        Raises:
            StatusError: one of them failed; RESOURCE_EXHAUSTED, too many reloads wait; DEADLINE_EXCEEDED, it goes on.
        """
        content = request.SerializeToString()
        if len(content) > MAX_CONFIG_BYTES:
            message = f"A configuration of {len(content)} bytes; one for several workers has at most {MAX_CONFIG_BYTES}"
            raise StatusError(Code.INVALID_ARGUMENT, message)
        if self._reloads >= _MAX_RELOADS:
            message = f"{self._reloads} reloads are waiting for each other. Ask again when they are done"
            raise StatusError(Code.RESOURCE_EXHAUSTED, message)
        self._reloads += 1
        answer = self._ask(Kind.ASK_RELOAD, content)
        answer.add_done_callback(self._count_reload)
        try:
            async with asyncio.timeout(RELOAD_SECONDS):
                content = await asyncio.shield(answer)
        except TimeoutError as error:
            message = f"The reload has not ended after {RELOAD_SECONDS:.0f} s. It goes on; see the models' status"
            raise StatusError(Code.DEADLINE_EXCEEDED, message) from error
        if (why := failure(content)) is not None:
            raise why
        return protos.ReloadConfigResponse.FromString(content[1:])

    async def metrics_of_all(self) -> bytes:
        """What the `Metrics` of all workers dump, merged.

        Raises:
            StatusError: UNAVAILABLE, the supervisor does not answer.
        """
        try:
            async with asyncio.timeout(_METRICS_SECONDS):
                return await asyncio.shield(self._ask(Kind.ASK_METRICS, b""))
        except TimeoutError as error:
            message = f"The supervisor of the workers has not answered for {_METRICS_SECONDS:g} s"
            raise StatusError(Code.UNAVAILABLE, message) from error

    async def serve(self) -> None:
        """Does what the supervisor tells, until it has gone."""
        reloading = asyncio.create_task(self._reload_in_order())
        try:
            await self._listen()
        finally:
            self._gone = True
            reloading.cancel()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(_supervisor_gone())
                    answer.exception()  # it may be that nobody waits for it

    async def _listen(self) -> None:
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := await self._reader.read(2**16):
                buffer += piece
                for one in frames(buffer):
                    self._heard(one)

    def _heard(self, one: Frame) -> None:
        kind, number, content = one
        if kind is Kind.ANSWER:
            answer = self._asked.pop(number, None)
            if answer is not None and not answer.done():
                answer.set_result(content)
        elif kind is Kind.DO_METRICS:
            self._tell(Kind.COUNTED, number, self._counted())
        elif kind is Kind.DO_RELOAD:
            self._to_reload.put_nowait(one)
        elif kind is Kind.OPEN:
            self._may_open.set()

    def _counted(self) -> bytes:
        try:
            return self._dump()
        except Exception as error:  # noqa: BLE001  `unexpected` logs it; without an answer this worker would seem to hang
            unexpected(error, "Metrics.dump")
            return Metrics().dump()

    async def _reload_in_order(self) -> None:
        """One after the other, as the supervisor told them: the order is the same in every worker."""
        while True:
            _, number, content = await self._to_reload.get()
            try:
                done = reloaded(await self._reload(protos.ReloadConfigRequest.FromString(content)))
            except StatusError as error:
                done = failed(error)
            except Exception as error:  # noqa: BLE001  `unexpected` logs it; without an answer all would wait
                done = failed(unexpected(error, "HandleReloadConfigRequest"))
            self._tell(Kind.RELOADED, number, done)

    def _ask(self, kind: Kind, content: bytes) -> asyncio.Future[bytes]:
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._gone:
            answer.set_exception(_supervisor_gone())
        else:
            self._asked[number] = answer
            self._tell(kind, number, content)
        return answer

    def _count_reload(self, answer: asyncio.Future[bytes]) -> None:
        self._reloads -= 1

    def _tell(self, kind: Kind, number: int, content: bytes = b"") -> None:
        self._writer.write(frame(kind, number, content))


def _supervisor_gone() -> StatusError:
    return StatusError(Code.UNAVAILABLE, "The supervisor of the workers has gone")
