"""Hostile input on a gRPC port delays no other client and leaves nothing behind."""

import asyncio
import os
import time

import pytest
from http2_servers import with_http2_server
from raw_http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    RawClient,
    data,
    field,
    fields,
    frame,
    headers,
    message,
    settings,
)

from serving.server.front.http2 import connection_timers, http2_server, nghttp2

pytestmark = pytest.mark.skipif(nghttp2.load() is None, reason="nghttp2 is not installed")

ECHO, CANCEL = "/e/Echo", b"\0\0\0\x08"


def _requests(count, *more):
    return [headers(2 * each + 1, ECHO) + b"".join(one(2 * each + 1) for one in more) for each in range(count)]


def _reset(stream):
    return frame(RST_STREAM, 0, stream, CANCEL)


def _message(stream):
    return data(stream, message(b"x"))


FLOODS = {
    "pings": [frame(PING, payload=bytes(8))] * 50_000,
    "settings": [settings(_4=70_000)] * 50_000,
    "empty data": [headers(1, ECHO), *[data(1, b"", 0)] * 50_000],
    "scraps of data": [headers(1, ECHO), data(1, message(b"", length=60_000), 0), *[data(1, b"x", 0)] * 50_000],
    "windows": [frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1")] * 50_000,
    "priorities": [frame(2, 0, 1, b"\0\0\0\0\1")] * 50_000,
    "resets": _requests(10_000, _reset),
    "resets of requests": _requests(10_000, _message, _reset),
    "continuations": [frame(HEADERS, 0, 1, fields(ECHO)), *[frame(CONTINUATION, 0, 1, field("a", "b"))] * 10_000],
    "headers that decompress to more": [
        frame(HEADERS, 0, 1, fields(ECHO) + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 12_000),
        *[frame(CONTINUATION, 0, 1, b"\xbe" * 16_384)] * 4,
    ],
    "noise": [os.urandom(100_000)],
    "frames that are too long": [b"\xff\xff\xff\0\0\0\0\0\1" + bytes(100_000)],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection_and_delays_no_other_client(name):
    async def test(one):
        await one.call("Echo", b"x")
        client = await RawClient.to(one.port)
        client.send(*FLOODS[name])
        longest = 0.0
        closing = asyncio.create_task(client.until(-1))
        while not closing.done():
            began = time.monotonic()
            assert await one.call("Echo", b"x") == b"x"
            longest = max(longest, time.monotonic() - began)
        assert closing.result() is None
        assert longest < 1.0
        client.close()
        await one.settled()

    with_http2_server(test)


def test_calls_given_up_at_their_deadlines_are_not_a_flood():
    async def test(one):
        client = await RawClient.to(one.port)
        for first in range(0, 6000, 200):
            for each in range(first, first + 200):
                stream = 2 * each + 1
                client.send(headers(stream, "/e/Wait", **{"grpc-timeout": "1m"}), _message(stream), _reset(stream))
            began = time.monotonic()
            assert await one.call("Echo", b"x") == b"x"
            assert time.monotonic() - began < 1.0
        client.send(headers(20_001, ECHO), _message(20_001))
        assert (await client.until(DATA, GOAWAY))[3] == message(b"x")
        client.close()
        await one.settled()

    with_http2_server(test)


def test_too_many_streams_are_refused():
    async def test(one):
        client = await RawClient.to(one.port)
        client.send(*_requests(400))
        kind, _, stream, payload = await client.until(RST_STREAM, GOAWAY)
        assert (kind, payload) == (RST_STREAM, b"\0\0\0\7")  # REFUSED_STREAM: the client may retry
        assert stream == 2 * 256 + 1
        client.close()
        await one.settled()

    with_http2_server(test)


@pytest.mark.parametrize(
    "greeting", [b"", PREFACE[:10], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
def test_a_client_that_sends_no_greeting_is_disconnected(greeting, monkeypatch):
    monkeypatch.setattr(connection_timers, "HANDSHAKE_SECONDS", 0.2)
    monkeypatch.setattr(http2_server, "_SWEEP_SECONDS", 0.05)

    async def test(one):
        client = await RawClient.to(one.port, greeting)
        await client.until(-1)
        assert not one.server._open

    with_http2_server(test)


def test_a_message_that_does_not_come_ends_its_call_alone(monkeypatch):
    monkeypatch.setattr(connection_timers, "MESSAGE_SECONDS", 0.3)
    monkeypatch.setattr(http2_server, "_SWEEP_SECONDS", 0.05)

    async def test(one):
        client = await RawClient.to(one.port)
        client.send(headers(1, ECHO), headers(3, ECHO), data(3, b"\0\0", 0), headers(5, ECHO))
        client.send(data(5, message(b"ab", length=100), 0))
        ended = {(await client.until(RST_STREAM))[2] for _ in range(3)}
        assert ended == {1, 3, 5}
        client.send(headers(7, ECHO), data(7, message(b"x")))
        assert (await client.until(DATA))[3] == message(b"x")
        client.close()
        await one.settled()

    with_http2_server(test)


def test_an_unread_response_is_dropped(monkeypatch):
    monkeypatch.setattr(connection_timers, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(http2_server, "_SWEEP_SECONDS", 0.05)

    async def test(one):
        closed_window = await RawClient.to(one.port, PREFACE + settings(_4=0))
        closed_window.send(headers(1, "/e/Zeros"), data(1, message(b"5000000")))
        assert (await closed_window.until(RST_STREAM))[2] == 1
        assert await one.call("Echo", b"x") == b"x"
        silent = await RawClient.to(one.port, PREFACE + settings(_4=2**30) + frame(WINDOW_UPDATE, 0, 0, b"\x3f\0\0\0"))
        silent.send(headers(1, "/e/Zeros"), data(1, message(b"60000000")))
        await one.settled()
        for client in (closed_window, silent):
            client.close()

    with_http2_server(test)


def test_memory_for_large_messages_is_reserved_before_they_are_read(monkeypatch):
    async def test(one):
        client = await RawClient.to(one.port)
        for stream in range(1, 21, 2):
            client.send(headers(stream, ECHO), data(stream, message(b"x", length=2**24), 0))
        for _ in range(6):
            assert await client.until(RST_STREAM) is not None  # 4 fit
        assert one.budget.bytes == 4 * 2**24
        assert await one.call("Echo", bytes(60_000)) == bytes(60_000)
        code, words = await one.call("Echo", bytes(2**24))
        assert code == "RESOURCE_EXHAUSTED"
        assert "--max_pending_bytes" in words
        monkeypatch.setattr(http2_server, "_STALLED_SECONDS", 0.0)  # stalled messages make room
        assert await one.call("Echo", bytes(2**24)) == bytes(2**24)
        client.close()
        await one.settled()

    with_http2_server(test, max_bytes=80 * 2**20)  # an eighth is for small messages


def test_many_calls_that_wait_for_their_clients_make_room_for_others(monkeypatch):
    monkeypatch.setattr(http2_server, "_MAX_CALLS", 50)

    async def test(one):
        client = await RawClient.to(one.port)
        client.send(*_requests(200))
        await client.until(RST_STREAM)
        for _ in range(10):
            assert await one.call("Echo", b"x") == b"x"
        assert len(one.server._calls) <= 51
        client.close()
        await one.settled()

    with_http2_server(test)


def test_connections_beyond_the_limit_replace_those_that_wait():
    async def test(one):
        assert await one.call("Echo", b"x") == b"x"
        clients = [await RawClient.to(one.port) for _ in range(60)]
        for client in clients[::2]:
            client.send(headers(1, ECHO), data(1, message(b"x", length=10), 0))
        for _ in range(10):
            assert await one.call("Echo", b"x", wait_for_ready=True) == b"x"
        assert len(one.connections) <= 20
        for client in clients:
            client.close()
        await one.settled()

    with_http2_server(test, most=20)


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"grpc-encoding": "zstd"}, message(b"x")),
        ({"grpc-timeout": "soon"}, message(b"x")),
        ({"content-type": "application/json"}, message(b"x")),
        ({"path": "/e/Unknown"}, message(b"x")),
        ({":method": "GET"}, message(b"x")),
        ({}, message(b"x") * 2),
        ({}, message(b"x", length=9)),
        ({}, message(b"x", compressed=1)),
        ({}, message(b"x", compressed=7)),
        ({"grpc-encoding": "gzip"}, message(b"no gzip", compressed=1)),
        ({"grpc-encoding": "gzip"}, message(b"\x1f\x8b\x08\0\0\0\0\0\0\3", compressed=1)),
        ({}, message(b"", length=2**32 - 1)),
        ({}, b""),
        ({f"x-{each}": "y" * 100 for each in range(126)}, message(b"x")),
    ],
)
def test_a_request_that_is_not_a_call_is_refused_and_its_connection_continues(changes, body):
    async def test(one):
        client = await RawClient.to(one.port)
        client.send(headers(1, **({"path": ECHO} | changes)), data(1, body))
        kind, flags, stream, _ = await client.until(HEADERS)
        assert (kind, flags, stream) == (HEADERS, END_STREAM | END_HEADERS, 1)
        client.send(headers(3, ECHO), data(3, message(b"x")))
        while (got := await client.until(DATA, GOAWAY))[2] != 3:
            pass
        assert got[3] == message(b"x")
        client.close()
        await one.settled()

    with_http2_server(test)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_harm_no_other_client(seed):
    import random

    source = random.Random(seed)
    whole = b"".join([frame(SETTINGS), *_requests(20, _message), frame(PING, payload=bytes(8)), *_requests(5)])

    async def test(one):
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(source.randint(1, 20)):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
            client = await RawClient.to(one.port, PREFACE)
            client.send(bytes(damaged[: source.randint(1, len(damaged))]))
            await asyncio.sleep(0)
            client.close()
            assert await one.call("Echo", b"x") == b"x"
        await one.settled()

    with_http2_server(test)
