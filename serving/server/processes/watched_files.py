"""Files that are read again when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from serving.errors import OptionsError

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def watch_files(what: str, read: Callable[[], T], known: T, apply: Callable[[T], None], seconds: float) -> None:
    """Applies changes until it is cancelled. Unusable content is logged once, and the old stays in force.

    Args:
        what: the files hold, for the log.
        read: reads the files, in a thread; it may raise `OptionsError`.
        known: what was read before.
        apply: puts new content in force; it may raise `OSError` (such as `ssl.SSLError`) and `ValueError`.
        seconds: between two checks; 0 for none.
    """
    problem = ""
    while seconds:
        try:
            # At once: a worker that replaces another started with what the server read at its own start.
            content = await asyncio.get_running_loop().run_in_executor(None, read)
            if content != known:
                apply(content)
                known = content
                _log.info("new %s are in force", what)
            problem = ""
        except (OptionsError, OSError, ValueError) as error:
            if str(error) != problem:
                _log.error("the %s in force stay: %s", what, error)
            problem = str(error)
        await asyncio.sleep(seconds)
