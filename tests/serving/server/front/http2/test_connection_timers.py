import asyncio
import json

import grpc
import pytest
from http2_servers import with_http2_server

from serving.server.front.http2 import http2_server, nghttp2

pytestmark = pytest.mark.skipif(nghttp2.load() is None, reason="nghttp2 is not installed")


def test_a_connection_that_is_old_or_idle_ends_without_an_error(monkeypatch):
    monkeypatch.setattr(http2_server, "_SWEEP_SECONDS", 0.05)

    async def test(one):
        seen = set()
        for _ in range(30):
            described = json.loads(await one.call("Describe"))
            seen.add(described["peer"])
            assert await one.call("Slow", b"0.05") == b"done"
        assert len(seen) > 1

    with_http2_server(test, arguments=[("grpc.max_connection_age_ms", 300)])

    async def idle(one):
        await one.call("Echo")
        while one.server._open:
            await asyncio.sleep(0.01)
        assert await one.call("Echo", b"x") == b"x"

    with_http2_server(idle, arguments=[("grpc.max_connection_idle_ms", 200)])


def test_a_connection_is_idle_after_its_last_call(monkeypatch):
    monkeypatch.setattr(http2_server, "_SWEEP_SECONDS", 0.02)

    async def test(one):
        assert await one.call("Slow", b"1.5") == b"done"
        [connection] = one.server._open
        assert one.server.loop.time() - connection.timers.last_call_ended < 1
        await asyncio.sleep(0.1)
        assert not connection.timers._notice_sent

    with_http2_server(test, arguments=[("grpc.max_connection_idle_ms", 1200)])


def test_pings_are_sent_and_answered():
    async def test(one):
        options = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_timeout_ms", 1000)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{one.port}", options=options) as channel:
            assert await channel.unary_unary("/e/Slow")(b"2.5", timeout=20) == b"done"

    with_http2_server(test, arguments=[("grpc.keepalive_time_ms", 300), ("grpc.keepalive_timeout_ms", 5000)])
