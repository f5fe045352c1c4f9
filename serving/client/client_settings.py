"""The checked arguments of both clients, and the flow of each of their methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from serving.client import flows
from serving.client.endpoint import Target, Tls, parse
from serving.client.flows import Flow, KnownVersions, Patience
from serving.client.model_calls import Call, Example, GetMetadata, GetStatus, Infer, Reload
from serving.errors import OptionsError

DEFAULT: Any = object()
"""The client's own timeout, because None means no timeout."""


class ClientOptions(TypedDict, total=False):
    """The optional arguments of a client; see `Client`."""

    version: int | None
    label: str | None
    signature: str
    timeout: float | None
    batch_size: int
    in_flight: int
    retries: int
    tls: Tls | None
    headers: Mapping[str, str]
    max_answer_bytes: int


class ClientSettings:
    """The checked arguments of `Client` and `AsyncClient`, and what is known about the model.

    Raises:
        OptionsError: the URL or an argument is invalid.
    """

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
        self.target: Target = parse(url, model, version, label)
        if tls is not None and not self.target.secure:
            raise OptionsError(f"tls for {url}", got=f"{self.target.scheme}://", expected="grpcs:// or https://")
        lowest = (
            ("batch_size", batch_size, 1),
            ("in_flight", in_flight, 1),
            ("retries", retries, 0),
            ("max_answer_bytes", max_answer_bytes, 1),
        )
        for name, value, least in (*lowest, ("timeout", 1.0 if timeout is None else timeout, 1e-3)):
            if value < least:
                raise OptionsError(name, got=str(value), expected=f"at least {least:g}")
        self.signature, self.timeout, self.retries, self.tls = signature, timeout, retries, tls
        self.batch_size, self.in_flight = batch_size, in_flight
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.connection = (self.target, self.tls, self.headers, max_answer_bytes)
        self.known = KnownVersions(tells_version=self.target.grpc, pinned=version)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None, timeout: float | None) -> Flow:
        """See `Client.predict`."""
        for name, value in (("texts", texts), ("pairs", pairs)):
            if isinstance(value, (str, bytes)):
                raise TypeError(f"{name}: got one string, expected a list of them: [{value[:20]!r}]")
        texts, pairs = _checked("texts", texts), None if pairs is None else _checked("pairs", pairs)
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"got {len(texts)} texts and {len(pairs)} pairs, expected a pair for each text")
        return flows.predict(texts, pairs, self.signature, self.batch_size, self._patience(timeout), self.known)

    def predict_arrays(self, inputs: Mapping[str, Any], signature: str | None, timeout: float | None) -> Flow:
        """See `Client.predict_arrays`."""
        return flows.predict_arrays(inputs, signature or self.signature, self._patience(timeout), self.known)

    def infer(
        self, method: Literal["classify", "regress"], examples: Sequence[Example], signature: str, timeout: float | None
    ) -> Flow:
        """See `Client.classify` and `Client.regress`."""
        if isinstance(examples, Mapping):
            raise TypeError("examples: got one example, expected a list of them")
        examples = list(examples)
        for row, example in enumerate(examples):
            if not isinstance(example, Mapping) or not all(isinstance(name, str) for name in example):
                raise TypeError(
                    f"examples[{row}]: got {_shown(example)}, expected a mapping of feature names to values"
                )
        return self._send(Infer(method, signature, examples), timeout)

    def status(self, timeout: float | None) -> Flow:
        """See `Client.status`."""
        return self._send(GetStatus(), timeout)

    def metadata(self, timeout: float | None) -> Flow:
        """See `Client.metadata`."""
        return self._send(GetMetadata(), timeout)

    def reload_config(self, config: Any, timeout: float | None) -> Flow:
        """See `Client.reload_config`."""
        return self._send(Reload(config), timeout)

    def _send(self, call: Call, timeout: float | None) -> Flow:
        return flows.send(call, self._patience(timeout))

    def _patience(self, timeout: float | None) -> Patience:
        return Patience(self.timeout if timeout is DEFAULT else timeout, self.retries)


def _checked(name: str, texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        TypeError: one of them is not text.
    """
    listed = list(texts)
    for row, text in enumerate(listed):
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"{name}[{row}]: got {_shown(text)}, expected a str")
    return listed


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {repr(value)[:100]}"
