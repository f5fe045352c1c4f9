"""What carries REST: sockets that wait, crawl, reset, pipeline, or speak something else."""

from __future__ import annotations

import contextlib
import socket
import time

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS
from benchmarks.siege.server import HOST
from benchmarks.siege.target import PAGE, Target, beside, crowd, hold, receive, reset, send, together
from benchmarks.siege.wire import PREFACE, settings

MIB = 2**20
HEAD = f"POST /v1/models/{FLOATS}:predict HTTP/1.1\r\nHost: {HOST}\r\n".encode()
GET = f"GET /v1/models/{FLOATS} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
BODY = b'{"instances": [1.0]}'
WIDE = b'{"signature_name": "wide", "inputs": {"n": [1000000]}}'
CROWD = 450
HOLD_S = 4.0
"""More connections than a server with 400 descriptors can have."""


@attack("450 sockets that send half a header", quick=True)
def half_headers(target: Target) -> None:
    with crowd(target.rest, CROWD, HEAD) as ends:
        hold(HOLD_S, ends, b"X-More: 1\r\n", every=1.0)


@attack("450 sockets that say nothing")
def silence(target: Target) -> None:
    with crowd(target.rest, CROWD):
        hold(HOLD_S)


@attack("450 sockets that keep alive")
def idle_connections(target: Target) -> None:
    with crowd(target.rest, CROWD, GET):
        hold(HOLD_S)


@attack("450 bodies that crawl")
def crawling_bodies(target: Target) -> None:
    with crowd(target.rest, CROWD, HEAD + b"Content-Length: 100000\r\n\r\n") as ends:
        hold(HOLD_S, ends, b"1", every=1.0)


@attack("450 chunked bodies that crawl")
def crawling_chunks(target: Target) -> None:
    with crowd(target.rest, CROWD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as ends:
        hold(HOLD_S, ends, b"1\r\n1\r\n", every=1.0)


@attack("waves of 450 sockets")
def waves(target: Target) -> None:
    for _ in range(5):
        with crowd(target.rest, CROWD, HEAD):
            hold(0.5)


@attack("bodies of 60 MB that never end, 40 at once")
def large_and_held(target: Target) -> None:
    def hold_one(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as end:
            send(end, HEAD + b"Content-Length: 62914560\r\n\r\n")
            end.settimeout(8)
            send(end, *[b" " * MIB] * 59)
            time.sleep(3)

    together(40, hold_one)


@attack("answers that nobody reads")
def slow_readers(target: Target) -> None:
    def connect() -> socket.socket:
        end = socket.socket()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.settimeout(20)
        end.connect((HOST, target.rest_port))
        return end

    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(WIDE) + WIDE
    with crowd(connect, 60, request):
        hold(HOLD_S)


@attack("100,000 pipelined requests, unread")
def pipelined(target: Target) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as end:
            end.settimeout(3)
            send(end, *[GET * 1000] * 100)

    together(4, push)


@attack("pipelined predictions, unread")
def pipelined_predictions(target: Target) -> None:
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(WIDE) + WIDE

    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.rest() as end:
            end.settimeout(3)
            send(end, *[one * 100] * 20)
            time.sleep(2)

    together(8, push)


@attack("chunks of one byte, 3 million", quick=True)
def tiny_chunks(target: Target) -> None:
    with target.rest() as end:
        send(end, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        if send(end, *[b"1\r\n \r\n" * 100_000] * 30, b"0\r\n\r\n"):
            target.note(receive(end, 200)[9:12].decode())


@attack("chunks odd and huge")
def odd_chunks(target: Target) -> None:
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
        with target.rest(5) as end:
            send(end, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk)
            target.note(receive(end, 200)[9:12].decode("latin-1") or "closed")


@attack("headers of 40 MB, and a million", quick=True)
def large_headers(target: Target) -> None:
    for pieces in (
        [b"X: " + b"x" * MIB] * 1 + [b"x" * MIB] * 40,
        [b"X: y\r\n" * 10_000] * 100,
        [b"GET /" + b"a" * MIB] + [b"a" * MIB] * 20,
        [b"\r\n" * MIB] * 10,
        [b"G" * MIB] * 10,
    ):
        with target.rest(5) as end:
            send(end, b"" if pieces[0][:1] in b"G\r" else HEAD, *pieces, b"\r\n\r\n")
            target.note(receive(end, 200)[9:12].decode("latin-1") or "closed")


@attack("half-closed sockets")
def half_closed(target: Target) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for _ in range(200):
        with target.rest(5) as end:
            send(end, request)
            end.shutdown(socket.SHUT_WR)
            target.note(receive(end, 200)[9:12].decode() or "closed")
    with crowd(target.rest, 300, HEAD) as ends:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_WR)
        hold(3)


@attack("2,000 resets in the middle", quick=True)
def resets(target: Target) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for index in range(2000):
        with contextlib.suppress(OSError):
            end = target.rest()
            send(end, request[: (index * 7) % (len(request) + 1)])
            reset(end)


@attack("3,000 connections that come and go")
def churn(target: Target) -> None:
    for port in (target.rest_port, target.port):
        for _ in range(1500):
            with contextlib.suppress(OSError):
                target.raw(port).close()


@attack("smuggled, odd and old requests", quick=True)
def odd_requests(target: Target) -> None:
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
        with target.rest(2) as end:
            send(end, request)
            target.note(receive(end, 200)[9:12].decode("latin-1") or "closed")


@attack("a version of 4,301 digits, and other paths", quick=True, allowed=("501",))
def paths(target: Target) -> None:
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
def made_up_names(target: Target) -> None:
    together(4, lambda thread: [target.predict(BODY, model=f"rest-{thread}-{index}") for index in range(1250)])
    if b"rest-1-1000" in target.page():
        raise AssertionError("made-up names fill the metrics' cells")


@attack("200 pages of metrics at once", quick=True)
def metrics_pages(target: Target) -> None:
    together(50, lambda _: [target.post(PAGE, b"", method="GET") for _ in range(4)])


@attack("a flood of small requests over 300 connections", health_ms=1000.0)
def flood(target: Target) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

    def send_all() -> None:
        with crowd(target.rest, 300) as ends:
            until = time.monotonic() + 6
            while time.monotonic() < until:
                for end in ends:
                    send(end, request)
                for end in ends:
                    with contextlib.suppress(OSError):
                        end.settimeout(5)
                        end.recv(4096)

    with beside(send_all):
        pass
