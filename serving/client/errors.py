"""What a caller catches: one error for each thing that it can do about it.

StatusError                 serving.errors: a code of the protocol and the server's message
└── ClientError             any request of a client that failed
    ├── InvalidRequest      the request can never be answered: its texts, signature or shapes are wrong
    ├── ModelNotFound       the server has no such model, version or label
    ├── AccessDenied        the caller is not known, or may not ask
    ├── DeadlineExceeded    no answer within `timeout`, retries included
    ├── Overloaded          the server has more requests than it takes; ask less, or later
    ├── Unavailable         nobody listens, or the server is going away; the only error that is tried again
    └── ServerError         the server, or something in front of it, went wrong
"""

from __future__ import annotations

from serving.errors import Code, StatusError


class ClientError(StatusError):
    """A request failed.

    Attributes:
        code: the protocol's code.
        message: what the server said.
        retry: whether the same request may succeed a moment later and was not answered at all.
    """

    retry = False

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # Pools of processes pickle exceptions; the default would call __init__ with the message alone.
        return type(self), (self.code, self.message), self.__dict__


class InvalidRequest(ClientError):
    pass


class ModelNotFound(ClientError):
    pass


class AccessDenied(ClientError):
    pass


class DeadlineExceeded(ClientError):
    pass


class Overloaded(ClientError):
    pass


class Unavailable(ClientError):
    retry = True


class ServerError(ClientError):
    pass


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
# Several codes share an HTTP status; the first of each is taken, and of 500 the one that blames the server.
_OF_HTTP = {code.http: code for code in reversed(Code)} | {409: Code.ABORTED, 500: Code.INTERNAL}
_NUMBERS = {code.number: code for code in Code}


def of_code(code: Code, message: str) -> ClientError:
    """The error of a code of the protocol; what has no error of its own is a `ServerError`."""
    # TF Serving answers an unknown label with INVALID_ARGUMENT; to a caller it is as gone as an unknown version.
    if message.startswith("Unrecognized servable version label"):
        return ModelNotFound(code, message)
    return _KINDS.get(code, ServerError)(code, message)


def of_number(number: int, message: str) -> ClientError:
    """The error of gRPC's number of a code."""
    return of_code(_NUMBERS.get(number, Code.UNKNOWN), message)


def of_http(status: int, message: str) -> ClientError:
    """The error of an HTTP status; proxies in front of the server use more of them than TF Serving does."""
    fallback = Code.INVALID_ARGUMENT if 400 <= status < 500 else Code.UNKNOWN
    return of_code(_OF_HTTP.get(status, fallback), message)
