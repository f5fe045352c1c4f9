"""gRPC connections: connections and streams held open, closed flow-control windows, floods of calls."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS
from benchmarks.siege.server import HOST
from benchmarks.siege.target import (
    AttackTarget,
    hold_open,
    open_connections,
    read_until_streams_end,
    run_concurrently,
    send,
)
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


def open_stream(stream: int, block_of_headers: bytes = CALL, *, last: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if last else 0), stream, block_of_headers)


def grpc_connector(target: AttackTarget) -> Callable[[], socket.socket]:
    return lambda: target.raw(target.port, 5)


@attack("450 sockets without a preface")
def no_preface(target: AttackTarget) -> None:
    with open_connections(grpc_connector(target), CROWD):
        hold_open(HOLD_S)


@attack("450 sockets with half a preface")
def half_preface(target: AttackTarget) -> None:
    with open_connections(grpc_connector(target), CROWD, PREFACE[:10]):
        hold_open(HOLD_S)


@attack("450 connections without a call")
def no_call(target: AttackTarget) -> None:
    with open_connections(grpc_connector(target), CROWD, PREFACE + settings()):
        hold_open(HOLD_S)


@attack("450 calls without their message", quick=True)
def no_message(target: AttackTarget) -> None:
    with open_connections(grpc_connector(target), CROWD, PREFACE + settings() + open_stream(1)):
        hold_open(HOLD_S)


@attack("450 header blocks that do not end")
def no_end_of_headers(target: AttackTarget) -> None:
    first = PREFACE + settings() + frame(HEADERS, 0, 1, call_headers(PREDICT)[:30])
    with open_connections(grpc_connector(target), CROWD, first) as connections:
        hold_open(HOLD_S, connections, frame(CONTINUATION, 0, 1, header("x", "y")), every=1.0)


@attack("both ports besieged at once")
def both_ports(target: AttackTarget) -> None:
    half = f"GET /v1/models/{FLOATS} HTTP/1.1\r\n".encode()
    with open_connections(grpc_connector(target), 300, PREFACE + settings()), open_connections(target.rest, 300, half):
        hold_open(HOLD_S)


@attack("declared lengths that never come")
def declared(target: AttackTarget) -> None:
    for length in (2**32 - 1, 2**31, 65 * MIB, 60 * MIB):
        with open_connections(lambda: target.http2(5), 20) as connections:
            for connection in connections:
                for stream in range(1, 41, 2):
                    send(connection, open_stream(stream) + data(stream, message(b"x" * 100, length=length), last=False))
            hold_open(1.5)


@attack("large messages, held short of their end")
def held_messages(target: AttackTarget) -> None:
    def push(_: int) -> None:
        with contextlib.suppress(OSError), target.http2(6) as connection:
            send(connection, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
            for stream in range(1, 200, 2):
                send(
                    connection, open_stream(stream) + data(stream, message(bytes(60_000), length=60 * MIB), last=False)
                )
            time.sleep(4)

    run_concurrently(40, push)


@attack("whole messages of 60 MiB over 100 streams")
def many_streams(target: AttackTarget) -> None:
    import grpc

    body = predict(FLOATS, entry("x", tensor(1, [15 * MIB], block(5, bytes(60 * MIB)))))

    def send_queries(_: int) -> str:
        try:
            call(body, timeout=10)
            return target.count_response("OK")
        except grpc.RpcError as error:
            return target.count_response(error.code().name, error.details() or "")

    with grpc.insecure_channel(f"{HOST}:{target.port}") as channel:
        call = channel.unary_unary(PREDICT)
        run_concurrently(24, send_queries)


@attack("unread responses over gRPC", quick=True)
def slow_readers(target: AttackTarget) -> None:
    body = message(predict(FLOATS, entry("n", tensor(INT32, [1], block(7, varint(4 * MIB)))), "wide"))

    def connect() -> socket.socket:
        connection = target.http2(10, initial_window_size=0)
        for stream in range(1, 21, 2):
            send(connection, open_stream(stream) + data(stream, body))
        return connection

    with open_connections(connect, 40):
        hold_open(HOLD_S)


@attack("responses read a byte at a time")
def crawling_readers(target: AttackTarget) -> None:
    body = message(predict(FLOATS, entry("n", tensor(INT32, [1], block(7, varint(MIB)))), "wide"))

    def connect() -> socket.socket:
        connection = target.http2(10, initial_window_size=1)
        send(connection, open_stream(1) + data(1, body))
        return connection

    with open_connections(connect, 50) as connections:
        hold_open(HOLD_S, connections, frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)), every=0.1)


@attack("half-closed connections")
def half_closed(target: AttackTarget) -> None:
    whole = PREFACE + settings() + open_stream(1) + data(1, SMALL)
    with open_connections(grpc_connector(target), 300, whole) as connections:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        hold_open(3)


@attack("5,000 health watchers")
def watchers(target: AttackTarget) -> None:
    def connect() -> socket.socket:
        connection = target.http2(5)
        for stream in range(1, 201, 2):
            send(connection, open_stream(stream, call_headers(HEALTH_WATCH)) + data(stream, message(b"")))
        return connection

    with open_connections(connect, 50):
        hold_open(5)


@attack("floods of health checks", health_ms=1000.0)
def checks(target: AttackTarget) -> None:
    def push(_: int) -> None:
        for _ in range(10):
            with contextlib.suppress(OSError), target.http2(3) as connection:
                for stream in range(1, 200, 2):
                    send(connection, open_stream(stream, call_headers(HEALTH_CHECK)) + data(stream, message(b"")))
                read_until_streams_end(connection, 100)

    run_concurrently(8, push)


@attack("reflection without end")
def reflection(target: AttackTarget) -> None:
    requests = message(block(7, "")) + message(block(4, "tensorflow.serving.PredictionService")) + message(b"\xff" * 50)
    with open_connections(lambda: target.http2(5), 20) as connections:
        for _ in range(50):
            for connection in connections:
                send(connection, open_stream(1, call_headers(REFLECTION)) + data(1, requests * 5, last=False))
        hold_open(2)
    target.call(REFLECTION, block(4, "n" * 20 * MIB))
    target.call(REFLECTION, block(3, "f" * 1000))
