"""The processes of `benchmarks/serving.py` other than the server: load, raw limit, echo.

    python -m benchmarks.serving_load load|raw|echo  (options as JSON on the standard input)

Each prints lines of JSON. None imports the libraries of the others, so none pays for them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Send = Callable[[int, bytes], Awaitable[None]]
"""Sends a body on a connection, given by its number, and waits for the response; raises if that is an error."""

WARM_UP = 0.5
"""Seconds of the same load before the clock starts."""

_ECHO = "/transom.bench.Echo/Echo"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_MOST_CHANNELS = 32
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Runs the process that the command line names."""
    options = json.loads(sys.stdin.readline())
    if sys.argv[1] == "raw":
        run_raw_limit(**options)
    elif sys.argv[1] == "echo":
        asyncio.run(serve_echo(**options))
    else:
        asyncio.run(generate_load(**options))
    return 0


async def generate_load(
    kind: str, target: str, model: str, inputs: list[str], texts: list[str], concurrency: int, **limits: Any
) -> None:
    """Runs a closed loop: `concurrency` callers with one request in flight each, one text per request, in turn.

    Args:
        kind: "grpc", "rest" or "echo" (gRPC as well).
        target: HOST:PORT.
        model: the served name.
        inputs: of the signature; all get the same text.
        texts: sent in turn.
        concurrency: callers.
        limits: for `_measure`.
    """
    if kind == "rest":
        rows = [json.dumps({"instances": [dict.fromkeys(inputs, text)]}).encode() for text in texts]
        send, close = await _rest(target, f"/v1/models/{model}:predict", concurrency)
    else:
        rows = [_predict_request(model, inputs, text) for text in texts]
        send, close = _grpc(target, _ECHO if kind == "echo" else _PREDICT, concurrency)
    print(json.dumps(await _measure(send, itertools.cycle(rows), concurrency, **limits)), flush=True)
    await close()


async def _measure(
    send: Send, bodies: Iterator[bytes], concurrency: int, pids: list[int], seconds: float, requests: int | None = None
) -> dict[str, Any]:
    """Sends requests for `seconds`, or `requests` of them if given; the latencies and the CPU time used."""
    if requests is None:
        await _send_all(send, bodies, concurrency, time.perf_counter() + WARM_UP, sys.maxsize)
    server, client, began = cpu_seconds(pids), _own_cpu(), time.perf_counter()
    until = began + seconds if requests is None else float("inf")
    latencies = await _send_all(send, bodies, concurrency, until, requests or sys.maxsize)
    wall, client, server = time.perf_counter() - began, _own_cpu() - client, cpu_seconds(pids) - server
    latencies.sort()
    return {
        "requests": len(latencies),
        "seconds": wall,
        "client_cpu": client,
        "server_cpu": server,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
    }


async def _send_all(send: Send, bodies: Iterator[bytes], concurrency: int, until: float, most: int) -> list[float]:
    """The seconds that each request takes, until `until` or `most` requests."""
    latencies: list[float] = []
    numbers = itertools.count()

    async def call(connection: int) -> None:
        while (began := time.perf_counter()) < until and next(numbers) < most:
            await send(connection, next(bodies))
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for connection in range(concurrency):
            group.create_task(call(connection))
    return latencies


def _predict_request(model: str, inputs: list[str], text: str) -> bytes:
    from serving.wire import protos

    request = protos.PredictRequest(model_spec=protos.ModelSpec(name=model))
    for name in inputs:
        request.inputs[name].dtype = 7  # DT_STRING
        request.inputs[name].tensor_shape.dim.add(size=1)
        request.inputs[name].string_val.append(text.encode())
    return bytes(request.SerializeToString())


def _grpc(target: str, method: str, concurrency: int) -> tuple[Send, Callable[[], Awaitable[Any]]]:
    """Sends bytes over channels with separate connections, so that the kernel spreads them over the workers."""
    import grpc

    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(min(concurrency, _MOST_CHANNELS))]
    calls = [channel.unary_unary(method) for channel in channels]

    async def send(connection: int, body: bytes) -> None:
        await calls[connection % len(calls)](body, timeout=60)

    async def close() -> None:
        for channel in channels:
            await channel.close()

    return send, close


async def _rest(target: str, path: str, concurrency: int) -> tuple[Send, Callable[[], Awaitable[Any]]]:
    """Sends HTTP/1.1 over one persistent connection per caller, without a library, so that the client costs little."""
    url = urlsplit(f"//{target}")
    streams = [await asyncio.open_connection(url.hostname, url.port) for _ in range(concurrency)]
    head = f"POST {path} HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\nContent-Length: ".encode()

    async def send(connection: int, body: bytes) -> None:
        reader, writer = streams[connection]
        writer.write(head + b"%d\r\n\r\n" % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        content = await reader.readexactly(int(length))
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(content.decode())

    async def close() -> None:
        for _, writer in streams:
            writer.close()

    return send, close


async def serve_echo(port: int) -> None:
    """Runs a gRPC server that echoes every message, on a shared port, until the standard input ends."""
    import grpc

    async def handle(body: bytes, context: Any) -> bytes:
        return body

    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    service, method = _ECHO.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("{}", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop(0)


def run_raw_limit(folder: str, texts: list[str]) -> None:
    """Runs `serving_default` on one text after another, in a session like the server's, with one thread.

    Prints the names of the inputs first; then, for each line with a number of seconds, the number of runs in that time.
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = "1"  # as in a worker
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np

    from serving.server.models.savedmodel import SavedModel
    from serving.server.options import ServerOptions
    from serving.wire import protos

    one = ServerOptions(protos.ModelServerConfig(), intra_op_parallelism=1, inter_op_parallelism=1)
    model = SavedModel(Path(folder), one)
    signature = model.signatures["serving_default"]
    fetches = [output.tensor for output in signature.outputs.values()]
    rows = [{end.tensor: np.array([text.encode()], object) for end in signature.inputs.values()} for text in texts]
    for row in rows:
        model.run(row, fetches, None)
    print(json.dumps({"inputs": list(signature.inputs)}), flush=True)
    turn = itertools.cycle(rows)
    for seconds in map(float, sys.stdin):
        cpu, began, runs = time.process_time(), time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            model.run(next(turn), fetches, None)
            runs += 1
        wall = time.perf_counter() - began
        print(json.dumps({"requests": runs, "seconds": wall, "cpu": time.process_time() - cpu}), flush=True)


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes from /proc, in steps of 10 ms."""
    return sum(sum(map(int, _stat(pid)[11:13])) for pid in pids) / _TICKS


def process_tree(pid: int) -> list[int]:
    """The process and its children."""
    others = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid] + [other for other in others if _parent(other) == pid]


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, whose parentheses may contain blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
