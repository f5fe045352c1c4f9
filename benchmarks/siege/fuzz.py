"""The fuzzer: unlimited cases, each determined by a seed, a level and a number, and checks of the responses."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import grpc

from benchmarks.siege import wire
from benchmarks.siege.mutations import mutate_bytes, mutate_frames, mutate_json, mutate_message
from benchmarks.siege.server import HOST, SiegeServer
from benchmarks.siege.target import read_until_streams_end, receive, reset, send
from benchmarks.siege.valid_requests import DOCUMENTS, HEADERS, MESSAGES, PATHS

LEVELS = ("bytes", "fields", "json", "http1", "http2")
CALLS = ("bytes", "fields", "json")
SLOW_S = 5.0
"""The longest permitted time of a case in `CALLS`, which are complete requests: many run at once, some of them valid.
Raw connections may take longer. The probes check whether other callers wait."""

_QUIET_S = 0.15  # the longest expected silence on a raw socket
_BAD_STATUS = ("500", "502", "505")
_BAD_CODES = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)
_NO_MESSAGE = "The request is no"  # "no" in older checkouts, "not a" now


@dataclass
class FuzzFindings:
    """The responses to the fuzzer.

    Attributes:
        answers: counts by level and code or status.
        bad: forbidden responses, with the flags that repeat the case.
    """

    answers: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    cases: int = 0
    longest_s: float = 0.0

    def count_response(self, level: str, response: str) -> None:
        self.answers[f"{level} {response}"] += 1


class Fuzzer:
    """Draws cases and runs them on a server.

    Args:
        server: the target.
        seed: of all random choices.
        findings: to which the responses are added.
    """

    def __init__(self, server: SiegeServer, seed: int, findings: FuzzFindings) -> None:
        self._server, self._seed, self.findings = server, seed, findings
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100)]
        self._channel = grpc.insecure_channel(f"{HOST}:{server.port}", options=options)
        tries = (self._bytes, self._fields, self._json, self._http1, self._http2)
        self._levels: dict[str, Callable[[Random], str]] = dict(zip(LEVELS, tries, strict=True))

    def case(self, level: str, index: int) -> None:
        """Runs one case, which is determined by the seed, the level and the index."""
        source = Random(f"{self._seed}:{level}:{index}")
        began = time.monotonic()
        try:
            response = self._levels[level](source)
        except ConnectionRefusedError:
            response = "refused"  # the server has ended, which the check of its pids reports
            time.sleep(0.1)
        except TimeoutError:
            response = "bad: cannot connect"
        except OSError as error:
            response = f"closed by {type(error).__name__}"
        took = time.monotonic() - began
        self.findings.cases += 1
        self.findings.longest_s = max(self.findings.longest_s, took)
        self.findings.count_response(level, response.partition(":")[0])
        if response.startswith("bad") or (took > SLOW_S and level in CALLS):
            self.findings.bad.append(f"--seed {self._seed} --case {level}:{index} ({took:.1f} s): {response[:300]}")

    def close(self) -> None:
        self._channel.close()

    def _bytes(self, source: Random) -> str:
        method = source.choice(list(MESSAGES))
        return self._call(method, mutate_bytes(source, source.choice(MESSAGES[method])))

    def _fields(self, source: Random) -> str:
        method = source.choice(list(MESSAGES))
        return self._call(method, mutate_message(source, source.choice(MESSAGES[method])))

    def _call(self, method: str, body: bytes) -> str:
        try:
            self._channel.unary_unary(method)(body, timeout=20, wait_for_ready=True)
            return "OK"
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED or (code in _BAD_CODES and not details.startswith(_NO_MESSAGE)):
            return f"bad {code.name}: {details}"
        return str(code.name)

    def _json(self, source: Random) -> str:
        path, document = source.choice(DOCUMENTS)
        body, headers = mutate_json(source, document), ""
        if source.random() < 0.2:
            headers = "Content-Encoding: gzip\r\n"
            body = gzip.compress(body, 1) if source.random() < 0.8 else zlib.compress(body)
            body = mutate_bytes(source, body, 1) if source.random() < 0.3 else body
        if source.random() < 0.1:
            path = mutate_bytes(source, path.encode(), 2).decode("latin-1").translate(str.maketrans("\r\n ", "___"))
        return self._exchange(source, _request("POST", path, headers, body), whole=True)

    def _http1(self, source: Random) -> str:
        requests = []
        for _ in range(source.randint(1, 3)):
            headers = "".join(source.sample(HEADERS, source.randint(0, 3)))
            if source.random() < 0.5:
                requests.append(_request("GET", source.choice(PATHS), headers, b""))
            else:
                path, document = source.choice(DOCUMENTS)
                requests.append(_request("POST", path, headers, mutate_json(source, document)))
        return self._exchange(source, mutate_bytes(source, b"".join(requests), 4))

    def _exchange(self, source: Random, request: bytes, *, whole: bool = False) -> str:
        with socket.create_connection((HOST, self._server.rest_port), 20 if whole else _QUIET_S) as connection:
            self._send_in_pieces(source, connection, request, whole=whole)
            if not whole and source.random() < 0.1:
                reset(connection)
                return "reset"
            with contextlib.suppress(OSError):
                if not whole and source.random() < 0.2:
                    connection.shutdown(socket.SHUT_WR)
            response = receive(connection, 20_000)
        statuses = [piece[:3].decode("latin-1") for piece in re.split(rb"HTTP/1\.[01] ", response)[1:]]
        for status in statuses:
            if status in _BAD_STATUS:
                return f"bad {status}: {response[:300]!r}"
        if whole and not statuses:
            return f"bad: no answer, but {response[:100]!r}"
        return statuses[0] if statuses else "closed"

    def _http2(self, source: Random) -> str:
        method = source.choice(list(MESSAGES))
        body = source.choice(MESSAGES[method])
        frames = [wire.settings()]
        for stream in range(1, 1 + 2 * source.randint(1, 3), 2):
            headers = wire.call_headers(method, ("grpc-timeout", "5S"))
            headers = mutate_bytes(source, headers, 2) if source.random() < 0.3 else headers
            frames.append(wire.frame(wire.HEADERS, wire.END_HEADERS, stream, headers))
            frames.append(wire.data(stream, wire.message(mutate_message(source, body))[:16_000]))
        frames += source.sample(
            [
                wire.frame(wire.PING, 0, 0, bytes(8)),
                wire.frame(wire.RST_STREAM, 0, 1, bytes(4)),
                wire.frame(wire.WINDOW_UPDATE, 0, 0, b"\0\1\0\0"),
                wire.frame(wire.CONTINUATION, 4, 1, b""),
                wire.frame(wire.GOAWAY, 0, 0, bytes(8)),
                wire.frame(wire.PRIORITY, 0, 3, bytes(5)),
            ],
            source.randint(0, 3),
        )
        with socket.create_connection((HOST, self._server.port), _QUIET_S) as connection:
            preface = wire.PREFACE if source.random() < 0.95 else mutate_bytes(source, wire.PREFACE)
            self._send_in_pieces(source, connection, preface + mutate_frames(source, frames))
            if source.random() < 0.1:
                reset(connection)
                return "reset"
            return "answered" if read_until_streams_end(connection) else "closed"

    def _send_in_pieces(
        self, source: Random, connection: socket.socket, content: bytes, *, whole: bool = False
    ) -> None:
        if source.random() < 0.8:
            send(connection, content)
            return
        for _ in range(source.randint(1, 5)):
            at = source.randint(0, len(content))
            send(connection, content[:at])
            content = content[at:]
            time.sleep(source.choice((0, 0.001, 0.02)))
        if whole or source.random() < 0.8:
            send(connection, content)


def fuzz(
    server: SiegeServer, seed: int, seconds: float, *, levels: Sequence[str] = LEVELS, threads: int = 4
) -> FuzzFindings:
    """Runs cases of these levels for `seconds`, in several threads."""
    findings, until = FuzzFindings(), time.monotonic() + seconds

    def work(thread: int) -> None:
        fuzzer = Fuzzer(server, seed, findings)
        index = thread
        while time.monotonic() < until and server.alive():
            for level in levels:
                fuzzer.case(level, index)
            index += threads
        fuzzer.close()

    workers = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds + 60)
    return findings


def _request(method: str, path: str, headers: str, body: bytes) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{headers}{length}\r\n"
    if "chunked" in headers:
        head = head.replace(length, "")
        body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n" if body else b"0\r\n\r\n"
    return head.encode("latin-1", "replace") + body
