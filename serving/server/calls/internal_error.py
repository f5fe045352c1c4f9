"""The response to an unexpected failure."""

from __future__ import annotations

import logging

from serving.errors import Code, StatusError

LOG = logging.getLogger("serving")


def unexpected(error: Exception, what: str) -> StatusError:
    """The response to an unexpected failure, which is logged with its traceback; the client sees only its type."""
    LOG.exception("%s failed unexpectedly", what, exc_info=error)
    return StatusError(Code.INTERNAL, f"{what} failed in the server: {type(error).__name__}; see its log")
