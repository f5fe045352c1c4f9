"""Decompresses request bodies in steps, up to a reasonable size."""

from __future__ import annotations

import zlib

from serving.errors import invalid_argument
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.stepwise_inflate import GZIP_WBITS, InflatesTooFarError, StepwiseInflater

MAX_RATIO = 100
"""The largest ratio of decompressed to compressed size, beyond `FREE_BYTES`. Texts and numbers reach 3 to 20; a ratio
of a thousand is a mistake or an attack."""

FREE_BYTES = 8 * 2**20
"""The size that any body may decompress to: a small request with a large matrix of zeros is harmless."""

_STEP_BYTES = 2**16


def gunzip(body: bytes, max_bytes: int, check: Check = unchecked) -> bytes | None:
    """Decompresses a body. As in TF Serving, one that is not gzip is empty, and bytes after its end are ignored.

    Args:
        body: compressed.
        max_bytes: limit of the decompressed size.
        check: called every few milliseconds; an exception from it ends the work.

    Returns:
        The bytes, or None if they exceed `max_bytes`; few more have then been decompressed.

    Raises:
        StatusError: INVALID_ARGUMENT, the ratio is too large.
    """
    inflatable = max(FREE_BYTES, MAX_RATIO * len(body))
    inflater, complete = StepwiseInflater(body, GZIP_WBITS, min(max_bytes, inflatable), _STEP_BYTES), False
    try:
        while not complete:
            check()
            complete = inflater.step()
    except zlib.error:
        return b""
    except InflatesTooFarError:
        if inflater.length > max_bytes:
            return None
        limits = f"more than {MAX_RATIO} times as many, and to more than {FREE_BYTES}"
        message = f"The compressed body of {len(body)} bytes unpacks to {limits}: send smaller or uncompressed parts"
        raise invalid_argument(message) from None
    return inflater.content()
