"""What attackers do to a server: call it, or open sockets to it and write what they like."""

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

from benchmarks.siege.server import HOST, Server
from benchmarks.siege.wire import DATA, END_STREAM, HEADERS, PREFACE, RST_STREAM, settings

PAGE = "/monitoring/prometheus/metrics"
PATIENCE_S = 20.0
"""How long an attacker waits for an answer."""


class Target:
    """A server as attackers see it. What they were told is counted in `seen`: a code or an HTTP status to how often."""

    def __init__(self, server: Server) -> None:
        self.server, self.port, self.rest_port = server, server.port, server.rest_port
        self.seen: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        """To each code the last message, cut."""

    def call(
        self,
        method: str,
        body: bytes,
        *,
        timeout: float | None = PATIENCE_S,
        metadata: Any = None,
        compression: Any = None,
    ) -> str:
        """A gRPC call on a connection of its own, without a deadline where the timeout is None; the code's name."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"{HOST}:{self.port}", options=options) as channel:
            try:
                channel.unary_unary(method)(body, timeout=timeout, metadata=metadata, compression=compression)
                code, words = "OK", ""
            except grpc.RpcError as error:
                code, words = error.code().name, error.details() or ""
        return self.note(code, words)

    def post(
        self, path: str, body: bytes, *, headers: str = "", method: str = "POST", timeout: float = PATIENCE_S
    ) -> str:
        """An HTTP/1.1 request on a connection of its own; its status."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        try:
            with self.rest(timeout) as end:
                send(end, head.encode("utf-8", "surrogateescape"), body)
                answer = receive(end, 300)
        except OSError as error:
            return self.note(type(error).__name__)
        status = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1") else "nothing"
        return self.note(status, answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))

    def predict(self, body: bytes, *, model: str = "half_plus_two", verb: str = "predict", headers: str = "") -> str:
        return self.post(f"/v1/models/{model}:{verb}", body, headers=headers)

    def page(self, seconds: float = PATIENCE_S) -> bytes:
        """Prometheus's."""
        with urllib.request.urlopen(f"http://{HOST}:{self.rest_port}{PAGE}", timeout=seconds) as answer:
            return bytes(answer.read())

    def note(self, code: str, words: str = "") -> str:
        self.seen[code] += 1
        self.words[code] = words[:300]
        return code

    def rest(self, timeout: float = PATIENCE_S) -> socket.socket:
        """A connection to REST."""
        return socket.create_connection((HOST, self.rest_port), timeout)

    def http2(self, timeout: float = PATIENCE_S, **values: int) -> socket.socket:
        """A connection to gRPC that has said its preface and SETTINGS."""
        end = socket.create_connection((HOST, self.port), timeout)
        end.sendall(PREFACE + settings(**values))
        return end

    def raw(self, port: int, timeout: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection((HOST, port), timeout)


def send(end: socket.socket, *pieces: bytes) -> bool:
    """Writes; False where the other end would not have it."""
    try:
        for piece in pieces:
            end.sendall(piece)
    except OSError:
        return False
    return True


def receive(end: socket.socket, most: int) -> bytes:
    """What comes, until an empty line, the end, a silence as long as the socket's timeout, or `most` bytes."""
    got = bytearray()
    with contextlib.suppress(OSError):
        while len(got) < most and (piece := end.recv(65536)):
            got += piece
            if b"\r\n\r\n" in got:
                break
    return bytes(got)


def answered(end: socket.socket, streams: int = 1) -> bool:
    """Reads frames of HTTP/2 until so many streams have ended; False where the connection does or nothing comes."""
    buffer = bytearray()
    with contextlib.suppress(OSError):
        while piece := end.recv(65536):
            buffer += piece
            while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
                kind, flags = buffer[3], buffer[4]
                del buffer[:size]
                if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    streams -= 1
                if streams <= 0:
                    return True
    return False


def reset(end: socket.socket) -> None:
    """Closes a connection with RST."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@contextlib.contextmanager
def crowd(connect: Callable[[], socket.socket], count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, each of which has said something; refused ones are left out. They stay until the end."""
    ends: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                end = connect()
                ends.append(end)
                send(end, first)
        yield ends
    finally:
        for end in ends:
            end.close()


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """So many at once, each in a thread."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def hold(seconds: float, ends: Iterable[socket.socket] = (), piece: bytes = b"", every: float = 0.5) -> None:
    """Waits, while each connection gets a piece now and then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if piece:
            for end in ends:
                send(end, piece)
        time.sleep(every)


@contextlib.contextmanager
def beside(work: Callable[[], Any]) -> Iterator[None]:
    """Does something else meanwhile."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE_S)


def unverified() -> ssl.SSLContext:
    """A client's context that trusts everybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
