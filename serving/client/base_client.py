"""What both clients share: their arguments, checked, and the connection."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.client.endpoint import Tls, parse
from serving.client.errors import ClientError, DeadlineExceeded
from serving.client.model_calls import ModelMetadata
from serving.errors import Code, OptionsError

DEFAULT: Any = object()
"""The client's own timeout, because None means no timeout."""

# Seconds before the first retry, and at most before any; up to half is cut at random to spread out clients.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Patience:
    """The time limit of one call of a client, and the retries of its requests.

    Args:
        timeout: seconds from now, None for no limit.
        retries: per request.
    """

    def __init__(self, timeout: float | None, retries: int) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._retries = retries

    def remaining(self) -> float | None:
        """The remaining seconds.

        Raises:
            DeadlineExceeded: there are none.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        return left

    def pause(self, tried: int, error: ClientError) -> float:
        """Seconds to wait after the `tried`th failure: exponential backoff with jitter.

        Raises:
            ClientError: `error` itself, if a retry is useless.
        """
        longest = min(_FIRST_PAUSE * 2.0 ** (tried - 1), _LONGEST_PAUSE)
        pause = random.uniform(longest / 2, longest)
        too_late = self._end is not None and time.monotonic() + pause >= self._end
        if not error.retry or tried > self._retries or too_late:
            raise error
        return pause


@dataclass
class KnownVersions:
    """What a client knows about the versions of its model.

    Attributes:
        tells_version: whether each response contains its version (gRPC); REST needs another request.
        pinned: the version that the caller chose, whose metadata never change.
        labels: the labels by version, None if the version does not provide them.
    """

    tells_version: bool
    pinned: int | None
    labels: dict[int, tuple[str, ...] | None] = field(default_factory=dict)
    metadata: ModelMetadata | None = None


class BaseClient:
    """Queries one served model. Connects at the first request.

    Args:
        url: `grpc://host:8500`, `grpcs://…`, `http://host:8501` or `https://…`, optionally with `/MODEL`;
            see `serving.client.endpoint.parse`.
        model: the served name, if the URL does not end with it.
        version, label: the version to query, at most one of them; default: the newest.
        signature: for `predict` and `predict_arrays`.
        timeout: seconds for a whole call, with all its batches and retries; None for no limit.
        batch_size: texts per request.
        in_flight: concurrent requests of one call.
        retries: how often a request is repeated while the server is unavailable, with exponential backoff and jitter;
            other errors are not retried.
        tls: PEM files, for grpcs:// and https://.
        headers: sent with every request (as gRPC metadata), such as {"authorization": "Bearer ..."}.
        max_answer_bytes: limit for one response; a larger one is a `ServerError`.

    Attributes:
        known: what is known about the model's versions.

    Raises:
        OptionsError: the URL or an argument is invalid.

    Every method takes a `timeout` and raises the errors of `serving.client.errors`.
    """

    _for_asyncio = False

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        timeout: float | None = 60.0,
        batch_size: int = 64,
        in_flight: int = 8,
        retries: int = 4,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer_bytes: int = 2**26,
    ) -> None:
        target = parse(url, model, version, label)
        if tls is not None and not target.secure:
            raise OptionsError(f"tls for {url}", got=f"{target.scheme}://", expected="grpcs:// or https://")
        lowest = (
            ("batch_size", batch_size, 1),
            ("in_flight", in_flight, 1),
            ("retries", retries, 0),
            ("max_answer_bytes", max_answer_bytes, 1),
        )
        for name, value, least in (*lowest, ("timeout", 1.0 if timeout is None else timeout, 1e-3)):
            if value < least:
                raise OptionsError(name, got=str(value), expected=f"at least {least:g}")
        self.signature, self.batch_size, self.in_flight = signature, batch_size, in_flight
        self.known = KnownVersions(tells_version=target.grpc, pinned=version)
        self._timeout, self._retries = timeout, retries
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        # Imported here because gRPC and httpx take 0.1 s each to import.
        if target.grpc:
            from serving.client.grpc_wire import AsyncGrpcChannel, GrpcChannel

            kind: Any = AsyncGrpcChannel if self._for_asyncio else GrpcChannel
        else:
            from serving.client.rest_wire import AsyncRestConnection, RestConnection

            kind = AsyncRestConnection if self._for_asyncio else RestConnection
        self._connection: Any = kind(target, tls, lower, max_answer_bytes)

    def patience(self, timeout: float | None) -> Patience:
        """The time limit and retries of a call that begins now."""
        return Patience(self._timeout if timeout is DEFAULT else timeout, self._retries)
