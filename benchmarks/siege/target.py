"""The attackers' tools: calls, and raw sockets to write anything to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from benchmarks.siege.server import HOST, SiegeServer
from benchmarks.siege.wire import DATA, END_STREAM, HEADERS, PREFACE, RST_STREAM, settings

PAGE = "/monitoring/prometheus/metrics"
PATIENCE_S = 20.0
"""How long an attacker waits for a response."""


class AttackTarget:
    """A server as attackers see it. `responses` counts what they got, by code or HTTP status."""

    def __init__(self, server: SiegeServer) -> None:
        self.server, self.port, self.rest_port = server, server.port, server.rest_port
        self.responses: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        """The last message of each code, truncated."""

    def call(
        self,
        method: str,
        body: bytes,
        *,
        timeout: float | None = PATIENCE_S,
        metadata: Any = None,
        compression: Any = None,
    ) -> str:
        """Makes a gRPC call on a new connection, without a deadline if the timeout is None; the code's name."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"{HOST}:{self.port}", options=options) as channel:
            try:
                channel.unary_unary(method)(body, timeout=timeout, metadata=metadata, compression=compression)
                code, message = "OK", ""
            except grpc.RpcError as error:
                code, message = error.code().name, error.details() or ""
        return self.count_response(code, message)

    def post(
        self, path: str, body: bytes, *, headers: str = "", method: str = "POST", timeout: float = PATIENCE_S
    ) -> str:
        """Makes an HTTP/1.1 request on a new connection; its status."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        try:
            with self.rest(timeout) as connection:
                send(connection, head.encode("utf-8", "surrogateescape"), body)
                response = receive(connection, 300)
        except OSError as error:
            return self.count_response(type(error).__name__)
        status = response[9:12].decode("ascii", "replace") if response.startswith(b"HTTP/1") else "nothing"
        return self.count_response(status, response.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))

    def predict(self, body: bytes, *, model: str = "half_plus_two", verb: str = "predict", headers: str = "") -> str:
        return self.post(f"/v1/models/{model}:{verb}", body, headers=headers)

    def page(self, seconds: float = PATIENCE_S) -> bytes:
        """The Prometheus page."""
        with urllib.request.urlopen(f"http://{HOST}:{self.rest_port}{PAGE}", timeout=seconds) as response:
            return bytes(response.read())

    def count_response(self, code: str, message: str = "") -> str:
        self.responses[code] += 1
        self.messages[code] = message[:300]
        return code

    def rest(self, timeout: float = PATIENCE_S) -> socket.socket:
        """Opens a connection to REST."""
        return socket.create_connection((HOST, self.rest_port), timeout)

    def http2(self, timeout: float = PATIENCE_S, **values: int) -> socket.socket:
        """Opens a connection to gRPC and sends the preface and SETTINGS."""
        connection = socket.create_connection((HOST, self.port), timeout)
        connection.sendall(PREFACE + settings(**values))
        return connection

    def raw(self, port: int, timeout: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection((HOST, port), timeout)


def send(connection: socket.socket, *pieces: bytes) -> bool:
    """Sends the pieces; False if the server closes the connection."""
    try:
        for piece in pieces:
            connection.sendall(piece)
    except OSError:
        return False
    return True


def receive(connection: socket.socket, most: int) -> bytes:
    """Reads until an empty line, the end, the socket's timeout, or `most` bytes."""
    got = bytearray()
    with contextlib.suppress(OSError):
        while len(got) < most and (piece := connection.recv(65536)):
            got += piece
            if b"\r\n\r\n" in got:
                break
    return bytes(got)


def read_until_streams_end(connection: socket.socket, streams: int = 1) -> bool:
    """Reads HTTP/2 frames until `streams` streams have ended; False if the connection ends or times out first."""
    buffer = bytearray()
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            buffer += piece
            while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
                kind, flags = buffer[3], buffer[4]
                del buffer[:size]
                if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    streams -= 1
                if streams <= 0:
                    return True
    return False


def reset(connection: socket.socket) -> None:
    """Closes a connection with RST."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def open_connections(
    connect: Callable[[], socket.socket], count: int, first: bytes = b""
) -> Iterator[list[socket.socket]]:
    """Opens `count` connections and sends `first` on each; skips refused ones. Closes them after the block."""
    connections: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connection = connect()
                connections.append(connection)
                send(connection, first)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def run_concurrently(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs `count` calls at once, each in a thread."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def hold_open(
    seconds: float, connections: Iterable[socket.socket] = (), piece: bytes = b"", every: float = 0.5
) -> None:
    """Keeps connections open, sending each a piece at intervals."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if piece:
            for connection in connections:
                send(connection, piece)
        time.sleep(every)


@contextlib.contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[None]:
    """Runs `work` in a thread during the block."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE_S)


def unverified() -> ssl.SSLContext:
    """A client's context that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
