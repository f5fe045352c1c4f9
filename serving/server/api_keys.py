"""API keys (--api_keys_file): which clients may query which models.

The file holds only hashes. A key is about 32 random bytes, which cannot be guessed, so a fast hash is enough. A slow
hash would cost more than most models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.errors import Code, StatusError

NO_HEADERS: Mapping[str, str] = {}

_ANY_MODEL = "*"
_HOW_TO_SEND = "send `authorization: Bearer KEY` or `x-api-key: KEY`"


@dataclass(frozen=True)
class ApiKey:
    """One key.

    Attributes:
        name: of its owner.
        sha256: of the key, in hexadecimal.
        models: that it may query.
        administers: whether it may reload the configuration and use the profiler.
    """

    name: str
    sha256: str
    models: frozenset[str]
    administers: bool = False

    def may_query(self, name: str) -> bool:
        """Whether the key may query a model, which need not exist."""
        return name in self.models or _ANY_MODEL in self.models

    def check_model(self, name: str) -> None:
        """Checks that the key may query a model, which need not exist. An empty name is left to the service to refuse.

        Raises:
            StatusError: PERMISSION_DENIED.
        """
        if name and not self.may_query(name):
            raise StatusError(Code.PERMISSION_DENIED, f"The API key of {self.name} may not query model {name}")

    def check_administers(self) -> None:
        """Checks that the key may do what affects the whole server.

        Raises:
            StatusError: PERMISSION_DENIED.
        """
        if not self.administers:
            message = f"The API key of {self.name} may not do this: it requires one with `administers`"
            raise StatusError(Code.PERMISSION_DENIED, message)


class ApiKeys:
    """The accepted keys.

    Args:
        keys: with distinct hashes.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._by_hash = {key.sha256: key for key in keys}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKeys) and self._by_hash == other._by_hash

    __hash__ = None  # type: ignore[assignment]  # never kept in sets

    def find(self, headers: Mapping[str, str]) -> ApiKey:
        """The key that a request was sent with.

        The time this takes reveals nothing about the keys: the lookup is by hash.

        Args:
            headers: of HTTP, or metadata of gRPC, by names in lower case.

        Raises:
            StatusError: UNAUTHENTICATED: the key is missing or unknown.
        """
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            sent = headers.get("x-api-key", "")
        if not sent:
            raise StatusError(Code.UNAUTHENTICATED, f"This server requires an API key: {_HOW_TO_SEND}")
        key = self._by_hash.get(hashlib.sha256(sent.strip().encode("utf-8", "replace")).hexdigest())
        if key is None:
            raise StatusError(Code.UNAUTHENTICATED, "The API key is not known")
        return key
