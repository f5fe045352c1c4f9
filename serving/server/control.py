"""How workers and their supervisor talk: frames over a socket pair, one pair for each worker.

A worker tells that it is `READY`. It asks for something that concerns all (`ASK_RELOAD`, `ASK_METRICS`); the supervisor
tells every worker to do it (`DO_RELOAD`, `DO_METRICS`), collects what each has `DONE`, and sends the `ANSWER`.
A worker whose supervisor has gone stops.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from serving import protos
from serving.errors import Code, StatusError
from serving.server.unexpected import unexpected

READY, ASK_RELOAD, ASK_METRICS, DO_RELOAD, DO_METRICS, DONE, ANSWER = range(7)

_HEAD = struct.Struct(">IBQ")
_CODES = {code.number: code for code in Code}


def frame(kind: int, number: int, content: bytes = b"") -> bytes:
    """One message: `number` connects what is asked with what is answered."""
    return _HEAD.pack(len(content), kind, number) + content


def frames(buffer: bytearray) -> list[tuple[int, int, bytes]]:
    """Takes the complete messages out of a buffer: kind, number, content."""
    found = []
    while len(buffer) >= _HEAD.size:
        size, kind, number = _HEAD.unpack_from(buffer)
        end = _HEAD.size + size
        if len(buffer) < end:
            break
        found.append((kind, number, bytes(buffer[_HEAD.size : end])))
        del buffer[:end]
    return found


def reloaded(response: Any) -> bytes:
    """A `ReloadConfigResponse` as the content of DONE and ANSWER."""
    return bytes([Code.OK.number]) + bytes(response.SerializeToString())


def failed(error: StatusError) -> bytes:
    """The same for a reload that failed."""
    return bytes([error.code.number]) + error.message.encode("utf-8", "replace")


def worst(contents: list[bytes]) -> bytes:
    """Of what the workers have done: the first failure, or else the first success."""
    return next((one for one in contents if one[0] != Code.OK.number), contents[0])


class Control:
    """A worker's end.

    Args:
        end: of the socket pair.
        reload: reloads this worker's configuration.
        dump: this worker's metrics.
    """

    def __init__(self, end: socket.socket, reload: Callable[[Any], Awaitable[Any]], dump: Callable[[], bytes]) -> None:
        self._end, self._reload, self._dump = end, reload, dump
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Opens the connection; then `serve` must run."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._end)

    def ready(self) -> None:
        """Tells that this worker answers."""
        self._writer.write(frame(READY, 0))

    async def reload_all(self, request: Any) -> Any:
        """`ReloadConfigRequest` to `ReloadConfigResponse`, when all workers have reloaded.

        Raises:
            StatusError: one of them failed.
        """
        content = await self._ask(ASK_RELOAD, request.SerializeToString())
        if content[0] != Code.OK.number:
            raise StatusError(_CODES[content[0]], content[1:].decode())
        return protos.ReloadConfigResponse.FromString(content[1:])

    async def metrics_of_all(self) -> list[bytes]:
        """What the `Metrics` of all workers dump."""
        return [json.dumps(one).encode() for one in json.loads(await self._ask(ASK_METRICS, b""))]

    async def serve(self) -> None:
        """Does what the supervisor tells, until it has gone."""
        buffer = bytearray()
        while piece := await self._reader.read(2**16):
            buffer += piece
            for kind, number, content in frames(buffer):
                if kind == ANSWER:
                    self._waiting.pop(number).set_result(content)
                else:
                    task = asyncio.create_task(self._do(kind, number, content))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _ask(self, kind: int, content: bytes) -> bytes:
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(frame(kind, number, content))
        return await answer

    async def _do(self, kind: int, number: int, content: bytes) -> None:
        if kind == DO_METRICS:
            done = self._dump()
        else:
            try:
                done = reloaded(await self._reload(protos.ReloadConfigRequest.FromString(content)))
            except StatusError as error:
                done = failed(error)
            except Exception as error:  # noqa: BLE001  `unexpected` logs it; without an answer all would wait for ever
                done = failed(unexpected(error, "HandleReloadConfigRequest"))
        self._writer.write(frame(DONE, number, done))
