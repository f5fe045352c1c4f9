"""gRPC over nghttp2, queried by gRPC's own clients."""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import threading

import grpc
import pytest
from http2_servers import UNLIMITED, with_http2_server

from serving.server.front.http2 import http2_connection, nghttp2

pytestmark = pytest.mark.skipif(nghttp2.load() is None, reason="nghttp2 is not installed")


def test_messages_of_every_size_arrive_whole():
    async def test(one):
        for size in (0, 1, 4, 5, 16378, 16379, 16384, 65535, 65536, 65537, 1_000_000, 2**26):
            body = os.urandom(size)
            assert await one.call("Echo", body) == body
        bodies = [os.urandom(20_000_000) for _ in range(4)]
        assert await asyncio.gather(*[one.call("Echo", body) for body in bodies]) == bodies
        await one.settled()

    with_http2_server(test)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_decompressed(compression):
    async def test(one):
        for size in (0, 10, 70_000, 5_000_000):
            body = os.urandom(1000) * (size // 1000) if size >= 1000 else b"x" * size
            assert await one.call("Echo", body, compression=compression) == body
        bomb = await one.call("Echo", bytes(2**26 + 1), compression=compression)
        assert bomb[0] == "RESOURCE_EXHAUSTED"
        assert "--max_message_bytes" in bomb[1]
        await one.settled()

    with_http2_server(test)


def test_a_call_has_its_callers_address_deadline_and_metadata():
    async def test(one):
        described = json.loads(await one.call("Describe", timeout=50, metadata=(("x-a", "1"), ("y-bin", b"\x00\xff"))))
        assert described["peer"].startswith("ipv4:127.0.0.1:")
        assert 0 < described["left"] <= 51  # gRPC's clients round up
        assert described["metadata"]["x-a"] == "1"
        assert described["metadata"]["y-bin"] == "AP8"
        assert described["metadata"][":authority"].startswith("127.0.0.1")
        call = one.channel.unary_unary("/e/Describe")(b"", wait_for_ready=True)
        assert json.loads(await call)["left"] is None

    with_http2_server(test)


def test_hundreds_of_calls_share_a_connection():
    async def test(one):
        answers = await asyncio.gather(*[one.call("Slow", b"0.05") for _ in range(1000)])
        assert answers == [b"done"] * 1000
        assert len(one.server._open) == 1

    with_http2_server(test)


def test_a_call_that_the_client_cancels_is_cancelled_in_the_server():
    async def test(one):
        calls = [one.channel.unary_unary("/e/Slow")(b"50") for _ in range(20)]
        while len(one.server._calls) < 20:
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await one.settled()
        assert one.cancelled == ["50"] * 20
        assert await one.call("Echo", b"x") == b"x"

    with_http2_server(test)


def test_calls_end_with_their_deadline_and_with_their_connection():
    async def test(one):
        assert (await one.call("Slow", b"51", timeout=0.2))[0] == "DEADLINE_EXCEEDED"
        await one.settled()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{one.port}", options=(("x", 1),))
        call = channel.unary_unary("/e/Slow")(b"52")
        while not one.server._calls:
            await asyncio.sleep(0.01)
        await channel.close()
        await asyncio.gather(call, return_exceptions=True)
        await one.settled()
        assert one.cancelled == ["51", "52"]

    with_http2_server(test)


def test_streams_respond_to_each_message_at_their_readers_pace():
    async def bodies():
        for _ in range(300):
            yield bytes(30_000)

    async def test(one):
        method = one.channel.stream_stream("/e/Double")
        assert [len(body) async for body in method(bodies(), timeout=20)] == [60_000] * 300
        call = method(iter([b"ab"]), timeout=20)
        assert await call.read() == b"abab"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await one.settled()

    with_http2_server(test)


def test_an_internal_failure_is_a_response_without_details(caplog):
    async def test(one):
        code, words = await one.call("Broken")
        assert code == "INTERNAL"
        assert "secret" not in words
        assert await one.call("Nothing") == ("UNIMPLEMENTED", "Method not found!")

    with caplog.at_level(logging.CRITICAL, "serving"):
        with_http2_server(test)


def test_an_event_that_fails_ends_its_connection_alone(monkeypatch, caplog):
    def fails(self, stream):
        raise RuntimeError("in a callback of C's")

    async def test(one):
        assert await one.call("Echo", b"x") == b"x"
        with monkeypatch.context() as broken:
            broken.setattr(http2_connection.Http2Connection, "data_end", fails)
            assert (await one.call("Echo", b"x"))[0] == "UNAVAILABLE"
        await one.settled()
        while await one.call("Echo", b"x", wait_for_ready=True) != b"x":  # the client may not have noticed yet
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.CRITICAL, "serving"):
        with_http2_server(test)


def test_clients_with_threads_are_served():
    async def test(one):
        def ask(results):
            with grpc.insecure_channel(f"127.0.0.1:{one.port}", options=UNLIMITED) as channel:
                echo = channel.unary_unary("/e/Echo")
                for size in [1, 100, 70_000, 300_000] * 5:
                    results.append(len(echo(bytes(size), timeout=20)) == size)
                futures = [echo.future(b"x" * 100, timeout=20) for _ in range(200)]
                results += [each.result() == b"x" * 100 for each in futures]

        results = []
        threads = [threading.Thread(target=ask, args=(results,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*[asyncio.to_thread(thread.join) for thread in threads])
        assert results == [True] * 4 * 220
        await one.settled()

    with_http2_server(test)


def test_a_stop_lets_calls_finish_within_its_time():
    async def test(one):
        soon, never = (asyncio.create_task(one.call("Slow", body)) for body in (b"0.4", b"50"))
        while len(one.server._calls) < 2:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(one.server.stop(1.0))
        assert await soon == b"done"
        assert (await never)[0] == "UNAVAILABLE"
        await stopping
        assert one.cancelled == ["50"]
        assert not one.server._open

    with_http2_server(test)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served():
    async def test(one):
        command = ["curl", "-s", "--http2-prior-knowledge", "-m", "10", "-o", "-", "-w", "%{http_code}", "-X", "POST"]
        command += ["--data-binary", "@-", f"http://127.0.0.1:{one.port}/e/Echo"]
        body = b"\0\0\0\0\3abc"

        def ask(kind):
            return subprocess.run([*command, "-H", f"content-type: {kind}"], input=body, capture_output=True).stdout

        assert await asyncio.to_thread(ask, "application/grpc") == body + b"200"
        assert await asyncio.to_thread(ask, "application/json") == b"415"

    with_http2_server(test)
