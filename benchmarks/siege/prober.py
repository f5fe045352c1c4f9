"""Probes a server: sends small requests every 50 ms, on persistent and new connections, and reports the waits.

    python -m benchmarks.siege.prober PORT REST_PORT KEPT_CONNECTIONS

Each line on its standard input ends a window and prints it as JSON: for each kind of probe, the number answered, the
longest wait in ms (including requests still waiting), the failures, and the requests refused because of overload.
"machine" is not a probe, but the delay that the machine causes: the longest wait of a bare echo in a third process, and
the longest delay of this process itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.siege.models import FLOATS, TEXT
from benchmarks.siege.server import HOST, free_ports
from benchmarks.siege.wire import PREDICT, floats_request, text_request

EVERY_S, NEW_EVERY_S = 0.05, 0.1
PATIENCE_S = 60.0
HEALTH, MACHINE = "health", "machine"

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
_HALF_OF_ONE_AND_TWO = b"\x00\x00\x20\x40"  # 2.5, little-endian

Query = Callable[[], Awaitable[None]]


class OverloadedError(Exception):
    """The server refused a request because it is overloaded."""


class UnexpectedResponseError(Exception):
    """A wrong or malformed response."""


@dataclass
class Window:
    """The results of one kind of probe."""

    answered: int = 0
    longest_ms: float = 0.0
    refused: int = 0
    failed: int = 0
    failure: str = ""
    waiting: set[float] = field(default_factory=set)
    began: float = field(default_factory=time.perf_counter)

    def report(self) -> dict[str, Any]:
        """The window's figures. A new window begins, which includes requests still waiting."""
        now = time.perf_counter()
        longest = max([self.longest_ms, *(1e3 * (now - began) for began in self.waiting)])
        figures = {
            "answered": self.answered,
            "longest_ms": longest,
            "refused": self.refused,
            "failed": self.failed,
        }
        figures |= {"failure": self.failure, "seconds": now - self.began}
        self.answered = self.refused = self.failed = 0
        self.longest_ms, self.failure, self.began = 0.0, "", now
        return figures


async def _loop(window: Window, query: Query, every: float) -> None:
    while True:
        began = time.perf_counter()
        window.waiting.add(began)
        try:
            await query()
            window.answered += 1
        except OverloadedError:
            window.refused += 1
        except (
            UnexpectedResponseError,
            OSError,
            EOFError,
            TimeoutError,
            grpc.aio.AioRpcError,
            IndexError,
            ValueError,
        ) as error:
            window.failed += 1
            window.failure = " ".join(f"{type(error).__name__}: {_words(error)}".split())[:160]
        window.waiting.discard(began)
        took = time.perf_counter() - began
        window.longest_ms = max(window.longest_ms, 1e3 * took)
        await asyncio.sleep(max(every - took, 0.005))


def _words(error: BaseException) -> str:
    return f"{error.code().name} {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)


class GrpcProbe:
    """A probe over gRPC, on a persistent channel or on a new one each time."""

    def __init__(self, port: int, method: str, body: bytes, expected: bytes, *, kept: bool) -> None:
        self._target, self._method, self._body, self._expected = f"{HOST}:{port}", method, body, expected
        self._channel = self._new() if kept else None

    def _new(self) -> Any:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]
        options += [("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        return grpc.aio.insecure_channel(self._target, options=options)

    async def __call__(self) -> None:
        channel = self._channel or self._new()
        try:
            # Like any client, reopens a connection that was closed while idle.
            for last in (False, True):
                try:
                    response = await channel.unary_unary(self._method)(
                        self._body, timeout=PATIENCE_S, wait_for_ready=True
                    )
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise OverloadedError from error
                    if last or error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
        finally:
            if self._channel is None:
                await channel.close()
        if self._expected not in response:
            raise UnexpectedResponseError(f"{self._method} answered {response[:60]!r}")


class RestProbe:
    """A probe over HTTP/1.1, on a persistent connection or on a new one each time."""

    def __init__(self, port: int, path: str, body: str, expected: str, *, kept: bool) -> None:
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._port, self._request, self._expected, self._kept = port, (head + body).encode(), expected.encode(), kept
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __call__(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            old = self._streams is not None
            try:
                await self._once()
            except (OSError, EOFError):
                self._close()
                if not old:
                    raise
                await self._once()
            finally:
                if not self._kept:
                    self._close()

    async def _once(self) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            self._close()
        if b" 429 " in head[:16]:
            raise OverloadedError
        if b" 200 " not in head[:16] or self._expected not in body.replace(b" ", b"").replace(b"\n", b""):
            raise UnexpectedResponseError(f"{head[:30]!r} {body[:100]!r}")

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def probes(port: int, rest_port: int, kept: int) -> list[tuple[str, Query, float]]:
    """Kind, probe and interval of each probe, with `kept` persistent connections per kind."""
    text = f"/v1/models/{TEXT}:predict"
    number = f"/v1/models/{FLOATS}:predict"
    found: list[tuple[str, Query, float]] = []
    for new in (False, True):
        age, every = ("new", NEW_EVERY_S) if new else ("kept", EVERY_S * kept)
        for _ in range(1 if new else kept):
            over_grpc = [
                (f"{HEALTH} gRPC {age}", _CHECK, b"", _SERVING),
                (f"predict gRPC {age}", PREDICT, floats_request(1.0), _HALF_OF_ONE_AND_TWO),
            ]
            over_rest = [
                (f"{HEALTH} REST {age}", f"/v1/models/{FLOATS}", "", "AVAILABLE"),
                (f"predict REST {age}", number, '{"instances": [1.0]}', '"predictions":[2.5]'),
            ]
            if not new:
                over_grpc.append(("text gRPC kept", PREDICT, text_request("so good"), b"probabilities"))
                over_rest.append(("text REST kept", text, '{"instances": ["so good"]}', '"label":"'))
            found += [(kind, GrpcProbe(port, *what, kept=not new), every) for kind, *what in over_grpc]
            found += [(kind, RestProbe(rest_port, *what, kept=not new), every) for kind, *what in over_rest]
    return found


async def _late(window: Window) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(EVERY_S)
        window.longest_ms = max(window.longest_ms, 1e3 * (time.perf_counter() - began - EVERY_S))


def _echo(port: int, parent: int) -> None:
    """Echoes bytes until the parent ends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)

    async def main() -> None:
        async with await asyncio.start_server(handle, HOST, port):
            while os.getppid() == parent:
                await asyncio.sleep(0.5)

    asyncio.run(main())


async def _ask_echo(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()


async def main(port: int, rest_port: int, kept: int) -> None:
    """Probes until the standard input ends."""
    (echo_port,) = free_ports(1)
    multiprocessing.get_context("spawn").Process(target=_echo, args=(echo_port, os.getpid()), daemon=True).start()
    windows: dict[str, Window] = {MACHINE: Window()}
    tasks = [asyncio.create_task(_late(windows[MACHINE]))]
    while True:
        with contextlib.suppress(OSError):
            await _ask_echo(echo_port)
            break
        await asyncio.sleep(0.1)
    tasks.append(asyncio.create_task(_loop(windows[MACHINE], lambda: _ask_echo(echo_port), EVERY_S)))
    for kind, query, every in probes(port, rest_port, kept):
        tasks.append(asyncio.create_task(_loop(windows.setdefault(kind, Window()), query, every)))
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({kind: window.report() for kind, window in windows.items()}), flush=True)
        for task in tasks:
            if task.done():
                task.result()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
    os._exit(0)  # does not wait for pending requests
