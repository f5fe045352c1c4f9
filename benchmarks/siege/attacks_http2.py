"""What carries gRPC: HTTP/2's frames in floods, streams that are held, windows that stay shut."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS
from benchmarks.siege.server import HOST
from benchmarks.siege.target import Target, answered, crowd, hold, reset, send, together
from benchmarks.siege.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HEALTH_CHECK,
    HEALTH_WATCH,
    INT32,
    PADDED,
    PING,
    PREDICT,
    PREFACE,
    PRIORITY,
    PUSH,
    REFLECTION,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    call_headers,
    data,
    entry,
    floats_request,
    frame,
    header,
    message,
    predict,
    settings,
    tensor,
    varint,
)

MIB = 2**20
CROWD = 450
HOLD_S = 4.0
SMALL = message(floats_request(1.0))
CALL = call_headers(PREDICT)


def opened(stream: int, block_of_headers: bytes = CALL, *, last: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if last else 0), stream, block_of_headers)


def connected(target: Target) -> Callable[[], socket.socket]:
    return lambda: target.raw(target.port, 5)


def flood(target: Target, pieces: list[bytes], *, connections: int = 4, seconds: float = 4.0) -> None:
    """Pushes the pieces in turn over some connections, reading nothing, until time is up or the server closes."""

    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2() as end:
            end.settimeout(seconds)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if not send(end, *pieces):
                    target.note("closed")
                    return
            target.note("took all")

    together(connections, push)


@attack("450 sockets without a preface")
def no_preface(target: Target) -> None:
    with crowd(connected(target), CROWD):
        hold(HOLD_S)


@attack("450 sockets with half a preface")
def half_preface(target: Target) -> None:
    with crowd(connected(target), CROWD, PREFACE[:10]):
        hold(HOLD_S)


@attack("450 connections without a call")
def no_call(target: Target) -> None:
    with crowd(connected(target), CROWD, PREFACE + settings()):
        hold(HOLD_S)


@attack("450 calls without their message", quick=True)
def no_message(target: Target) -> None:
    with crowd(connected(target), CROWD, PREFACE + settings() + opened(1)):
        hold(HOLD_S)


@attack("450 header blocks that do not end")
def no_end_of_headers(target: Target) -> None:
    first = PREFACE + settings() + frame(HEADERS, 0, 1, call_headers(PREDICT)[:30])
    with crowd(connected(target), CROWD, first) as ends:
        hold(HOLD_S, ends, frame(CONTINUATION, 0, 1, header("x", "y")), every=1.0)


@attack("both ports besieged at once")
def both_ports(target: Target) -> None:
    half = f"GET /v1/models/{FLOATS} HTTP/1.1\r\n".encode()
    with crowd(connected(target), 300, PREFACE + settings()), crowd(target.rest, 300, half):
        hold(HOLD_S)


@attack("rapid resets", quick=True)
def rapid_reset(target: Target) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2() as end:
            end.settimeout(4)
            stream = 1
            until = time.monotonic() + 4
            while time.monotonic() < until:
                pieces = []
                for _ in range(200):
                    pieces.append(opened(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
                    stream += 2
                if not send(end, b"".join(pieces)):
                    target.note("closed")
                    return
            target.note("took all")

    together(4, push)


@attack("rapid resets of whole calls", health_ms=500.0)
def rapid_calls(target: Target) -> None:
    def push(_: int) -> None:
        for _ in range(20):
            with contextlib.suppress(OSError), target.http2() as end:
                end.settimeout(2)
                for stream in range(1, 400, 2):
                    call = opened(stream) + data(stream, SMALL)
                    send(end, call + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))

    together(4, push)


@attack("floods of pings", quick=True)
def pings(target: Target) -> None:
    flood(target, [frame(PING, 0, 0, bytes(8)) * 2000])


@attack("floods of settings and priorities")
def setting_floods(target: Target) -> None:
    flood(target, [settings() * 2000], seconds=2)
    flood(target, [settings(header_table_size=4096, initial_window_size=70000) * 500], seconds=2)
    flood(target, [frame(PRIORITY, 0, 1, bytes(5)) * 2000], seconds=2)
    flood(target, [frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2000], seconds=2)
    flood(target, [frame(SETTINGS, ACK) * 2000], seconds=2)
    flood(target, [frame(50, 0, 0, bytes(100)) * 500], seconds=2)


@attack("floods of empty DATA and CONTINUATION", quick=True)
def empty_frames(target: Target) -> None:
    def push(first: bytes, piece: bytes) -> None:
        with contextlib.suppress(OSError), target.http2() as end:
            end.settimeout(3)
            until = time.monotonic() + 3
            send(end, first)
            while time.monotonic() < until and send(end, piece):
                pass

    padding = frame(DATA, PADDED, 1, b"\xff" + bytes(255))
    for first, piece in (
        (opened(1), frame(DATA, 0, 1) * 2000),
        (opened(1), padding * 200),
        (frame(HEADERS, 0, 1, CALL), frame(CONTINUATION, 0, 1) * 2000),
        (frame(HEADERS, 0, 1, CALL), frame(CONTINUATION, 0, 1, header("x", "y" * 4000)) * 10),
    ):
        together(2, lambda _, first=first, piece=piece: push(first, piece))


@attack("header bombs", quick=True)
def header_bombs(target: Target) -> None:
    large = b"\x40" + b"\x01a" + b"\x7f" + varint(4000 - 127) + b"b" * 4000  # goes into the table
    for count in (100, 16_000):
        with target.http2(5) as end:
            block_of_headers = CALL + large + b"\xbe" * count
            pieces = [block_of_headers[at : at + 16_000] for at in range(0, len(block_of_headers), 16_000)]
            send(end, frame(HEADERS, END_HEADERS if len(pieces) == 1 else 0, 1, pieces[0]))
            for index, piece in enumerate(pieces[1:], 2):
                send(end, frame(CONTINUATION, END_HEADERS if index == len(pieces) else 0, 1, piece))
            answered(end)
    for value in (b"v" * 9000, b"v" * 70_000):
        target.call(PREDICT, floats_request(1.0), metadata=[("x", value.decode())])
    target.call(PREDICT, floats_request(1.0), metadata=[(f"k{index}", "v") for index in range(2000)])


@attack("declared lengths that never come")
def declared(target: Target) -> None:
    for length in (2**32 - 1, 2**31, 65 * MIB, 60 * MIB):
        with crowd(lambda: target.http2(5), 20) as ends:
            for end in ends:
                for stream in range(1, 41, 2):
                    send(end, opened(stream) + data(stream, message(b"x" * 100, length=length), last=False))
            hold(1.5)


@attack("large messages, held short of their end")
def held_messages(target: Target) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2(6) as end:
            send(end, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
            for stream in range(1, 200, 2):
                send(end, opened(stream) + data(stream, message(bytes(60_000), length=60 * MIB), last=False))
            time.sleep(4)

    together(40, push)


@attack("whole messages of 60 MiB over 100 streams")
def many_streams(target: Target) -> None:
    import grpc

    body = predict(FLOATS, entry("x", tensor(1, [15 * MIB], block(5, bytes(60 * MIB)))))

    def ask(_: int) -> str:
        try:
            call(body, timeout=10)
            return target.note("OK")
        except grpc.RpcError as error:
            return target.note(error.code().name, error.details() or "")

    with grpc.insecure_channel(f"{HOST}:{target.port}") as channel:
        call = channel.unary_unary(PREDICT)
        together(24, ask)


@attack("messages in frames of one byte", quick=True)
def tiny_frames(target: Target) -> None:
    body = message(floats_request(1.0) + block(100, bytes(200_000)))
    with target.http2(10) as end:
        send(end, opened(1))
        send(end, data(1, body, size=1))
        answered(end)


@attack("answers that nobody reads, over gRPC", quick=True)
def slow_readers(target: Target) -> None:
    body = message(predict(FLOATS, entry("n", tensor(INT32, [1], block(7, varint(4 * MIB)))), "wide"))

    def connect() -> socket.socket:
        end = target.http2(10, initial_window_size=0)
        for stream in range(1, 21, 2):
            send(end, opened(stream) + data(stream, body))
        return end

    with crowd(connect, 40):
        hold(HOLD_S)


@attack("answers read a byte at a time")
def crawling_readers(target: Target) -> None:
    body = message(predict(FLOATS, entry("n", tensor(INT32, [1], block(7, varint(MIB)))), "wide"))

    def connect() -> socket.socket:
        end = target.http2(10, initial_window_size=1)
        send(end, opened(1) + data(1, body))
        return end

    with crowd(connect, 50) as ends:
        hold(HOLD_S, ends, frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)), every=0.1)


@attack("frames that are wrong", quick=True)
def wrong_frames(target: Target) -> None:
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
        opened(1) + opened(1),
        opened(1) + data(1, SMALL) + data(1, SMALL),
        opened(1) + data(1, SMALL * 3),
        opened(1) + data(1, b""),
        opened(1, last=True),
        opened(1) + data(1, SMALL[:3]),
        opened(1) + data(1, message(b"", compressed=True)),
        opened(1) + data(1, b"\x07" + SMALL[1:]),
        opened(1) + data(1, SMALL, last=False) + frame(HEADERS, END_HEADERS | END_STREAM, 1, header("x", "y")),
        opened(1) + frame(GOAWAY, 0, 0, bytes(8)) + data(1, SMALL),
    ):
        with target.http2(0.5) as end:
            send(end, content)
            answered(end)
    for start in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(600), bytes(100), PREFACE + bytes(100)):
        with target.raw(target.port, 0.5) as end:
            send(end, start)
            answered(end)


@attack("headers that are wrong", quick=True)
def wrong_headers(target: Target) -> None:
    for more in (
        [("grpc-timeout", value) for value in ("", "0n", "-1S", "99999999H", "999999999999S", "1", "S", "1e3S", "٣S")],
        [("grpc-encoding", value) for value in ("gzip", "br", "identity,gzip", "x" * 5000)],
        [("content-type", value) for value in ("application/json", "", "application/grpc+json")],
        [(name, "x") for name in (":path", ":bad", "X-Upper", "connection", "te", "transfer-encoding", "a b", "\xff")],
        [("content-length", value) for value in ("0", "5", "-1", "x", "9" * 30)],
        [("x-bin", "%%%"), ("x", "\0"), ("x", "\r\nevil: 1"), ("authorization", "Bearer " + "k" * 5000)],
    ):
        for pair in more:
            with target.http2(0.3) as end:
                send(end, opened(1, call_headers(PREDICT, pair)) + data(1, SMALL))
                answered(end)
    for path in ("", "x", "/", "//", "/a/b/c", "/" + "p" * 6000, "/\0", "/tensorflow.serving.PredictionService/Nope"):
        with target.http2(0.3) as end:
            send(end, opened(1, call_headers(path)) + data(1, SMALL))
            answered(end)


@attack("2,000 resets in the middle of calls")
def resets(target: Target) -> None:
    whole = PREFACE + settings() + opened(1) + data(1, SMALL)
    for index in range(2000):
        with contextlib.suppress(OSError):
            end = target.raw(target.port)
            send(end, whole[: (index * 11) % (len(whole) + 1)])
            reset(end)


@attack("half-closed connections")
def half_closed(target: Target) -> None:
    whole = PREFACE + settings() + opened(1) + data(1, SMALL)
    with crowd(connected(target), 300, whole) as ends:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_WR)
        hold(3)


@attack("5,000 watchers of the health")
def watchers(target: Target) -> None:
    def connect() -> socket.socket:
        end = target.http2(5)
        for stream in range(1, 201, 2):
            send(end, opened(stream, call_headers(HEALTH_WATCH)) + data(stream, message(b"")))
        return end

    with crowd(connect, 50):
        hold(5)


@attack("floods of health checks", health_ms=1000.0)
def checks(target: Target) -> None:
    def push(_: int) -> None:
        for _ in range(10):
            with contextlib.suppress(OSError), target.http2(3) as end:
                for stream in range(1, 200, 2):
                    send(end, opened(stream, call_headers(HEALTH_CHECK)) + data(stream, message(b"")))
                answered(end, 100)

    together(8, push)


@attack("reflection without end")
def reflection(target: Target) -> None:
    ask = message(block(7, "")) + message(block(4, "tensorflow.serving.PredictionService")) + message(b"\xff" * 50)
    with crowd(lambda: target.http2(5), 20) as ends:
        for _ in range(50):
            for end in ends:
                send(end, opened(1, call_headers(REFLECTION)) + data(1, ask * 5, last=False))
        hold(2)
    target.call(REFLECTION, block(4, "n" * 20 * MIB))
    target.call(REFLECTION, block(3, "f" * 1000))
