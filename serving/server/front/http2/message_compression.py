"""Decompresses gRPC messages, in steps and within the limit for a message."""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import Executor

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Reservation
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.http2.grpc_messages import message_too_large
from serving.server.front.stepwise_inflate import DEFLATE_WBITS, GZIP_WBITS, InflatesTooFarError, StepwiseInflater

STEP_BYTES = 2**18
_WBITS = {"gzip": GZIP_WBITS, "deflate": DEFLATE_WBITS}
ENCODINGS = ("identity", *_WBITS)


async def decompress(compressed: bytes, encoding: str, limit: int, held: Reservation, threads: Executor) -> bytes:
    """Decompresses a message: a small one at once, a larger one step by step in a thread, each step counted.

    Args:
        encoding: one of `ENCODINGS`.
        limit: bytes that the message may have.
        held: takes what the message grows by.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, the message is too large, or memory is short; INTERNAL, it is damaged.
    """
    if encoding == "identity":
        raise StatusError(Code.INTERNAL, "A message is marked as compressed, but the call's grpc-encoding is identity")
    inflater = StepwiseInflater(compressed, _WBITS[encoding], limit, STEP_BYTES)
    loop, counted = asyncio.get_running_loop(), 0
    try:
        done = len(compressed) <= INLINE_BYTES and inflater.step(INLINE_BYTES)
        while not done:
            done = await loop.run_in_executor(threads, inflater.step)
            held.take(size=inflater.length - counted)
            counted = inflater.length
    except zlib.error as error:
        raise StatusError(Code.INTERNAL, f"The message cannot be decompressed as {encoding}: {error}") from error
    except InflatesTooFarError as error:
        raise message_too_large(f"over {limit} decompressed", limit) from error
    return inflater.content()
