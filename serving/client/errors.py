"""The errors that a caller can catch, one per possible reaction; `ClientError` covers all of them."""

from __future__ import annotations

from serving.errors import Code, StatusError


class ClientError(StatusError):
    """A request failed.

    Attributes:
        code: the protocol's code.
        message: the server's message.
        retry: whether the request was not processed and may succeed if repeated.
    """

    retry = False

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # Process pools pickle exceptions; by default __init__ would get only the message.
        return type(self), (self.code, self.message), self.__dict__


class InvalidRequest(ClientError):
    """The request can never succeed: its texts, signature or shapes are wrong."""


class ModelNotFound(ClientError):
    """The server has no such model, version or label."""


class AccessDenied(ClientError):
    """The caller is unknown or has no permission."""


class DeadlineExceeded(ClientError):
    """No response within `timeout`, retries included."""


class Overloaded(ClientError):
    """The server has too many requests; send fewer, or try later."""


class Unavailable(ClientError):
    """No server is listening, or it is shutting down; the only error that is retried."""

    retry = True


class ServerError(ClientError):
    """The server, or a proxy in front of it, failed."""


_KINDS: dict[Code, type[ClientError]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.FAILED_PRECONDITION: InvalidRequest,
    Code.OUT_OF_RANGE: InvalidRequest,
    Code.NOT_FOUND: ModelNotFound,
    Code.PERMISSION_DENIED: AccessDenied,
    Code.UNAUTHENTICATED: AccessDenied,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.RESOURCE_EXHAUSTED: Overloaded,
    Code.UNAVAILABLE: Unavailable,
}
# If several codes share an HTTP status, the first one wins, except INTERNAL for 500 and ABORTED for 409.
_OF_HTTP = {code.http: code for code in reversed(Code)} | {409: Code.ABORTED, 500: Code.INTERNAL}
_NUMBERS = {code.number: code for code in Code}


def of_code(code: Code, message: str) -> ClientError:
    """The error for a code of the protocol; `ServerError` by default."""
    # TF Serving returns INVALID_ARGUMENT for an unknown label, which callers should treat like an unknown version.
    if message.startswith("Unrecognized servable version label"):
        return ModelNotFound(code, message)
    return _KINDS.get(code, ServerError)(code, message)


def of_number(number: int, message: str) -> ClientError:
    """The error for a code by gRPC's number."""
    return of_code(_NUMBERS.get(number, Code.UNKNOWN), message)


def of_http(status: int, message: str) -> ClientError:
    """The error for an HTTP status; proxies return more of them than TF Serving does."""
    fallback = Code.INVALID_ARGUMENT if 400 <= status < 500 else Code.UNKNOWN
    return of_code(_OF_HTTP.get(status, fallback), message)
