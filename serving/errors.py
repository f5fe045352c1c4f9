"""The errors of serving (standard library only)."""

from __future__ import annotations

import logging
from enum import Enum

LOG = logging.getLogger("serving")


class ServingError(Exception):
    """An error that an operator can fix, with the same four parts as in the rest of Transom.

    Args:
        what: the name of the invalid thing.
        got: the actual value.
        expected: a valid value.
        fix: how to fix it.
    """

    def __init__(self, what: str, *, got: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.got, self.expected, self.fix = what, got, expected, fix
        parts = (("got", got), ("expected", expected), ("to fix", fix))
        super().__init__("\n".join([what, *(f"  {name}: {value}" for name, value in parts if value)]))


class PublishError(ServingError):
    """A model cannot be added to a base path or removed from it; the served versions are untouched."""


class OptionsError(ServingError):
    """A flag, or a file named by a flag, is invalid."""


class DeployError(ServingError):
    """Manifests cannot be written, or a canary cannot be promoted or rolled back."""


class Code(Enum):
    """Canonical status codes, each with gRPC's number and the HTTP status of TF Serving's REST API.

    Source of the HTTP statuses: `ToHTTPStatusCode` in tensorflow_serving/model_servers/http_server.cc.
    """

    OK = (0, 200)
    CANCELLED = (1, 499)
    UNKNOWN = (2, 500)
    INVALID_ARGUMENT = (3, 400)
    DEADLINE_EXCEEDED = (4, 504)
    NOT_FOUND = (5, 404)
    ALREADY_EXISTS = (6, 409)
    PERMISSION_DENIED = (7, 403)
    RESOURCE_EXHAUSTED = (8, 429)
    FAILED_PRECONDITION = (9, 400)
    ABORTED = (10, 409)
    OUT_OF_RANGE = (11, 400)
    UNIMPLEMENTED = (12, 501)
    INTERNAL = (13, 500)
    UNAVAILABLE = (14, 503)
    DATA_LOSS = (15, 500)
    UNAUTHENTICATED = (16, 401)

    @property
    def number(self) -> int:
        """gRPC's number of the code, which is also TensorFlow's."""
        return self.value[0]

    @property
    def http(self) -> int:
        """The HTTP status."""
        return self.value[1]


class StatusError(Exception):
    """One request failed: a code of the protocol, and TF Serving's message for the same mistake, if it has one."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid_argument(message: str) -> StatusError:
    """The most common failure: the request can never succeed."""
    return StatusError(Code.INVALID_ARGUMENT, message)


def unexpected(error: Exception, what: str) -> StatusError:
    """The response to an unexpected failure, which is logged with its traceback; the client sees only its type."""
    LOG.exception("%s failed unexpectedly", what, exc_info=error)
    return StatusError(Code.INTERNAL, f"{what} failed in the server: {type(error).__name__}; see its log")
