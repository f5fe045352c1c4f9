"""An Http2Server with methods for tests, in the test's event loop. Not a test itself.

/e/Echo returns its request. /e/Slow responds after that many seconds, /e/Zeros with that many bytes, /e/Describe with
what it knows of the call. /e/Double sends back each message of a stream twice over. /e/Broken fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json

import grpc

from serving.server.calls.request_limits import Budget, Reservation
from serving.server.front.connections import Connections
from serving.server.front.grpc_call import GrpcMethod
from serving.server.front.http2.channel_arguments import parse_channel_arguments
from serving.server.front.http2.http2_server import Http2Server
from serving.server.front.http2.nghttp2 import load
from serving.server.front.listening import bind_tcp

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
LIMIT = 2**26


async def echo(body, call):
    return body


async def zeros(body, call):
    return bytes(int(body))


async def describe(body, call):
    left = None if call.deadline is None else call.deadline - asyncio.get_running_loop().time()
    return json.dumps({"peer": call.peer, "left": left, "metadata": dict(call.metadata())}).encode()


async def double(bodies, call):
    async for body in bodies:
        yield body * 2


async def broken(body, call):
    raise RuntimeError("a secret of the server")


@dataclasses.dataclass
class RunningServer:
    server: Http2Server
    port: int
    budget: Budget
    connections: Connections
    channel: grpc.aio.Channel
    cancelled: list[str]

    async def call(self, method, body=b"", **how):
        """The response, or the code's name and the message."""
        try:
            return await self.channel.unary_unary(f"/e/{method}")(body, **({"timeout": 20} | how))
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details()

    async def settled(self):
        """Waits until no call is left and nothing is held."""
        async with asyncio.timeout(20):
            while self.server._calls or self.budget.bytes:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(*, most=100, max_bytes=2**29, arguments=(), tls=None):
    cancelled = []

    async def slow(body, call):
        try:
            await asyncio.sleep(float(body))
        except asyncio.CancelledError:
            cancelled.append(body.decode())
            raise
        return b"done"

    methods = {b"/e/Echo": echo, b"/e/Slow": slow, b"/e/Zeros": zeros, b"/e/Describe": describe, b"/e/Broken": broken}
    methods = {path: GrpcMethod(unary) for path, unary in methods.items()} | {b"/e/Double": GrpcMethod(stream=double)}
    budget, connections = Budget(max_bytes, 2**16), Connections(most)
    server = Http2Server(
        load(), methods, parse_channel_arguments(arguments, LIMIT)[0], connections, lambda: Reservation(budget)
    )
    (bound,) = bind_tcp("127.0.0.1", 0, shared=False)
    port = bound.getsockname()[1]
    server.start([bound], tls)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED) as channel:
        yield RunningServer(server, port, budget, connections, channel, cancelled)
    await server.stop(0)


def with_http2_server(test, **how):
    """Runs `test(serving)`, bounded in time."""

    async def bounded():
        async with asyncio.timeout(60), serving(**how) as one:
            return await test(one)

    return asyncio.run(bounded())
