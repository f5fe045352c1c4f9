"""Files that are read again when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from serving.errors import OptionsError

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def follow(what: str, read: Callable[[], T], known: T, apply: Callable[[T], None], seconds: float) -> None:
    """Hands on what changes, until it is cancelled. What cannot be used is logged once, and the old stays in force.

    Args:
        what: is read, for the log.
        read: reads it, in a thread; it may raise `OptionsError`.
        known: what was read before.
        apply: puts what is new in force; it may raise `OSError` (as `ssl.SSLError` is) and `ValueError`.
        seconds: between two looks; 0: never.
    """
    problem = ""
    while seconds:
        try:
            # At once: a worker that replaces another began with what was read when the server did.
            found = await asyncio.get_running_loop().run_in_executor(None, read)
            if found != known:
                apply(found)
                known = found
                _log.info("new %s are in force", what)
            problem = ""
        except (OptionsError, OSError, ValueError) as error:
            if str(error) != problem:
                _log.error("the %s in force stay: %s", what, error)
            problem = str(error)
        await asyncio.sleep(seconds)
