"""What carries gRPC: connections and streams that are held, windows that stay shut, floods of calls."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS
from benchmarks.siege.server import HOST
from benchmarks.siege.target import Target, answered, crowd, hold, send, together
from benchmarks.siege.wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HEALTH_CHECK,
    HEALTH_WATCH,
    INT32,
    PREDICT,
    PREFACE,
    REFLECTION,
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
