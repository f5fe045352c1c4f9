"""Compressed bodies, unpacked in steps and not beyond what is reasonable."""

from __future__ import annotations

import zlib

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.stepwise_inflate import GZIP_WBITS, InflatesTooFarError, StepwiseInflater

MAX_RATIO = 100
"""To what multiple of its size a body may unpack, beyond `FREE_BYTES`. Texts and numbers reach 3 to 20; what unpacks to
a thousand times its size is a mistake or meant to do harm."""

FREE_BYTES = 8 * 2**20
"""To what any body may unpack: a small request for a large matrix of zeros is none that does harm."""

_STEP_BYTES = 2**16


def gunzipped(body: bytes, max_bytes: int, check: Check = unchecked) -> bytes | None:
    """What a body unpacks to; nothing where it is no gzip, as in TF Serving, and what follows its end is left.

    Args:
        body: compressed.
        max_bytes: that it may unpack to.
        check: called every few milliseconds; what it raises ends the work.

    Returns:
        The bytes, or None where they are more than `max_bytes`; not many more have then been unpacked.

    Raises:
        StatusError: INVALID_ARGUMENT, it unpacks to too large a multiple of its size.
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
        raise _bomb(len(body)) from None
    return inflater.content()


def _bomb(size: int) -> StatusError:
    return StatusError(
        Code.INVALID_ARGUMENT,
        f"The compressed body of {size} bytes unpacks to more than {MAX_RATIO} times as many, and to more than "
        f"{FREE_BYTES}: send it in smaller parts, or not compressed",
    )
