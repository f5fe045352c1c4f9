"""The answer to a failure that nobody foresaw."""

from __future__ import annotations

import logging

from serving.errors import Code, StatusError

LOG = logging.getLogger("serving")


def unexpected(error: Exception, what: str) -> StatusError:
    """The answer to a failure of our own, which is logged with its traceback and not told to the client."""
    LOG.exception("%s failed unexpectedly", what, exc_info=error)
    return StatusError(Code.INTERNAL, f"{what} failed in the server: {type(error).__name__}; its log tells more")
