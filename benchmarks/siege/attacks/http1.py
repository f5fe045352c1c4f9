"""HTTP/1.1: connections that wait, crawl, reset, pipeline, or speak another protocol."""

from __future__ import annotations

import contextlib
import socket
import time

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS
from benchmarks.siege.server import HOST
from benchmarks.siege.target import (
    PAGE,
    AttackTarget,
    hold_open,
    in_background,
    open_connections,
    receive,
    reset,
    run_concurrently,
    send,
)
from benchmarks.siege.wire import PREFACE, settings

MIB = 2**20
HEAD = f"POST /v1/models/{FLOATS}:predict HTTP/1.1\r\nHost: {HOST}\r\n".encode()
GET = f"GET /v1/models/{FLOATS} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
BODY = b'{"instances": [1.0]}'
WIDE = b'{"signature_name": "wide", "inputs": {"n": [1000000]}}'
CROWD = 450
"""More connections than a server with 400 descriptors can have."""
HOLD_S = 4.0


@attack("450 sockets that send half a header", quick=True)
def half_headers(target: AttackTarget) -> None:
    with open_connections(target.rest, CROWD, HEAD) as connections:
        hold_open(HOLD_S, connections, b"X-More: 1\r\n", every=1.0)


@attack("450 silent sockets")
def silence(target: AttackTarget) -> None:
    with open_connections(target.rest, CROWD):
        hold_open(HOLD_S)


@attack("450 sockets that keep alive")
def idle_connections(target: AttackTarget) -> None:
    with open_connections(target.rest, CROWD, GET):
        hold_open(HOLD_S)


@attack("450 bodies that crawl")
def crawling_bodies(target: AttackTarget) -> None:
    with open_connections(target.rest, CROWD, HEAD + b"Content-Length: 100000\r\n\r\n") as connections:
        hold_open(HOLD_S, connections, b"1", every=1.0)


@attack("450 chunked bodies that crawl")
def crawling_chunks(target: AttackTarget) -> None:
    with open_connections(target.rest, CROWD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as connections:
        hold_open(HOLD_S, connections, b"1\r\n1\r\n", every=1.0)


@attack("waves of 450 sockets")
def waves(target: AttackTarget) -> None:
    for _ in range(5):
        with open_connections(target.rest, CROWD, HEAD):
            hold_open(0.5)


@attack("bodies of 60 MB that never end, 40 at once")
def large_and_held(target: AttackTarget) -> None:
    def hold_one(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as connection:
            send(connection, HEAD + b"Content-Length: 62914560\r\n\r\n")
            connection.settimeout(8)
            send(connection, *[b" " * MIB] * 59)
            time.sleep(3)

    run_concurrently(40, hold_one)


@attack("unread responses")
def slow_readers(target: AttackTarget) -> None:
    def connect() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((HOST, target.rest_port))
        return connection

    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(WIDE) + WIDE
    with open_connections(connect, 60, request):
        hold_open(HOLD_S)


@attack("100,000 pipelined requests, unread")
def pipelined(target: AttackTarget) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as connection:
            connection.settimeout(3)
            send(connection, *[GET * 1000] * 100)

    run_concurrently(4, push)


@attack("pipelined predictions, unread")
def pipelined_predictions(target: AttackTarget) -> None:
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(WIDE) + WIDE

    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as connection:
            connection.settimeout(3)
            send(connection, *[one * 100] * 20)
            time.sleep(2)

    run_concurrently(8, push)


@attack("chunks of one byte, 3 million", quick=True)
def tiny_chunks(target: AttackTarget) -> None:
    with target.rest() as connection:
        send(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        if send(connection, *[b"1\r\n \r\n" * 100_000] * 30, b"0\r\n\r\n"):
            target.count_response(receive(connection, 200)[9:12].decode())


@attack("chunks odd and huge")
def odd_chunks(target: AttackTarget) -> None:
    for chunk in (
        b"ffffffffffffffff\r\n",
        b"-1\r\n",
        b"1;" + b"e" * (4 * MIB),
        b"0\r\n" + b"Trailer: x\r\n" * 400_000,
        b"000000000000000000000000000000001\r\nx\r\n",
        b"z\r\n",
        b"0x10\r\n",
        b"5\r\nabc\r\n",
        b"1\nx\n0\n\n",
    ):
        with target.rest(5) as connection:
            send(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk)
            target.count_response(receive(connection, 200)[9:12].decode("latin-1") or "closed")


@attack("headers of 40 MB, and a million", quick=True)
def large_headers(target: AttackTarget) -> None:
    for pieces in (
        [b"X: " + b"x" * MIB] * 1 + [b"x" * MIB] * 40,
        [b"X: y\r\n" * 10_000] * 100,
        [b"GET /" + b"a" * MIB] + [b"a" * MIB] * 20,
        [b"\r\n" * MIB] * 10,
        [b"G" * MIB] * 10,
    ):
        with target.rest(5) as connection:
            send(connection, b"" if pieces[0][:1] in b"G\r" else HEAD, *pieces, b"\r\n\r\n")
            target.count_response(receive(connection, 200)[9:12].decode("latin-1") or "closed")


@attack("half-closed sockets")
def half_closed(target: AttackTarget) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for _ in range(200):
        with target.rest(5) as connection:
            send(connection, request)
            connection.shutdown(socket.SHUT_WR)
            target.count_response(receive(connection, 200)[9:12].decode() or "closed")
    with open_connections(target.rest, 300, HEAD) as connections:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        hold_open(3)


@attack("2,000 resets in the middle", quick=True)
def resets(target: AttackTarget) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for index in range(2000):
        with contextlib.suppress(OSError):
            connection = target.rest()
            send(connection, request[: (index * 7) % (len(request) + 1)])
            reset(connection)


@attack("3,000 connections that come and go")
def churn(target: AttackTarget) -> None:
    for port in (target.rest_port, target.port):
        for _ in range(1500):
            with contextlib.suppress(OSError):
                target.raw(port).close()


@attack("smuggled, odd and old requests", quick=True)
def odd_requests(target: AttackTarget) -> None:
    body = BODY
    for request in (
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body),
        HEAD + b"Expect: nothing\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
        HEAD + b"Content-Encoding: br, gzip, deflate\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /v1/models/x HTTP/0.9\r\n\r\n",
        b"GET /v1/models/x\r\n\r\n",
        b"GET /v1/models/x HTTP/1.0\r\n\r\n",
        b"GET /v1/models/x HTTP/3.7\r\nHost: a\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"BREW /v1/models/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://other/v1/models/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models/%ff%00%2e%2e/%2f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: \x01\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
        PREFACE + settings(),
        b"\r\n\r\n\r\n",
        bytes(range(256)) * 64,
    ):
        with target.rest(2) as connection:
            send(connection, request)
            target.count_response(receive(connection, 200)[9:12].decode("latin-1") or "closed")


@attack("a version of 4,301 digits, and other paths", quick=True, allowed=("501",))
def paths(target: AttackTarget) -> None:
    for digits in ("1" * 4300, "1" * 4301, "9" * 7000, "0" * 7000, "-1", "9" * 19, "1" * 20, "٣"):
        for path in (f"/v1/models/m/versions/{digits}", f"/v1/models/m/versions/{digits}:predict"):
            target.post(path, b"{}", method="POST" if path.endswith("predict") else "GET")
    for path in (
        "/",
        "//",
        "/v1",
        "/v1/models",
        "/v1/models/",
        "/v1/models/" + "m" * 7000,
        "/v1/models/a%zz",
        "*",
        "/v1/models/m/labels/" + "%C3%28" * 900,
        "/v1/models/m/metadata?" + "a=b&" * 1500,
        "/v1/models/m:predict#" + "f" * 1000,
        "/v1/models/../../etc/passwd",
        "/v1/models/m\udcff:predict",
    ):
        for method in ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            target.post(path, b"", method=method, timeout=2 if method == "HEAD" else 20)


@attack("made-up names over REST, 5,000")
def made_up_names(target: AttackTarget) -> None:
    run_concurrently(4, lambda thread: [target.predict(BODY, model=f"rest-{thread}-{index}") for index in range(1250)])
    if b"rest-1-1000" in target.page():
        raise AssertionError("made-up names fill the metrics' cells")


@attack("200 pages of metrics at once", quick=True)
def metrics_pages(target: AttackTarget) -> None:
    run_concurrently(50, lambda _: [target.post(PAGE, b"", method="GET") for _ in range(4)])


@attack("a flood of small requests over 300 connections", health_ms=1000.0)
def flood(target: AttackTarget) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

    def send_all() -> None:
        with open_connections(target.rest, 300) as connections:
            until = time.monotonic() + 6
            while time.monotonic() < until:
                for connection in connections:
                    send(connection, request)
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.settimeout(5)
                        connection.recv(4096)

    with in_background(send_all):
        pass
