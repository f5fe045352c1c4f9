"""API keys (--api_keys_file): who may ask which models.

The file holds only hashes: a key is 32 random bytes or so, which nobody finds by trying, and a slow hash would cost
more than most models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.errors import Code, StatusError

NO_HEADERS: Mapping[str, str] = {}

_ALL = "*"
_HOW = "send `authorization: Bearer KEY` or `x-api-key: KEY`"


@dataclass(frozen=True)
class ApiKey:
    """One key.

    Attributes:
        name: whose it is.
        sha256: of the key, in hexadecimal.
        models: that it may ask.
        administers: whether it may reload the configuration and use the profiler.
    """

    name: str
    sha256: str
    models: frozenset[str]
    administers: bool = False

    def check_model(self, name: str) -> None:
        """Whether it may ask a model, which need not be there. No name at all is the service's to refuse.

        Raises:
            StatusError: PERMISSION_DENIED.
        """
        if name and name not in self.models and _ALL not in self.models:
            raise StatusError(Code.PERMISSION_DENIED, f"The API key of {self.name} may not ask model {name}")

    def check_administers(self) -> None:
        """Whether it may do what concerns the whole server.

        Raises:
            StatusError: PERMISSION_DENIED.
        """
        if not self.administers:
            words = f"The API key of {self.name} may not do this: it takes one that `administers`"
            raise StatusError(Code.PERMISSION_DENIED, words)


class ApiKeys:
    """The keys that are known.

    Args:
        keys: each with a hash of its own.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._by_hash = {key.sha256: key for key in keys}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKeys) and self._by_hash == other._by_hash

    __hash__ = None  # type: ignore[assignment]  # nothing keeps them in sets

    def find(self, headers: Mapping[str, str]) -> ApiKey:
        """The key that a request brings.

        How long that takes tells nothing of a key: what is compared is the hash of what was sent.

        Args:
            headers: of HTTP, or metadata of gRPC, by names in lower case.

        Raises:
            StatusError: UNAUTHENTICATED, none, or one that is not known.
        """
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            sent = headers.get("x-api-key", "")
        if not sent:
            raise StatusError(Code.UNAUTHENTICATED, f"This server asks for an API key: {_HOW}")
        known = self._by_hash.get(hashlib.sha256(sent.strip().encode("utf-8", "replace")).hexdigest())
        if known is None:
            raise StatusError(Code.UNAUTHENTICATED, "The API key is not known")
        return known
