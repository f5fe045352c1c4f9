"""The address of a served model, from a client's URL and arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from serving.errors import OptionsError

# TF Serving's ports; with TLS there is usually a proxy in front of it.
_PORTS = {"grpc": 8500, "grpcs": 443, "http": 8501, "https": 443}


@dataclass(frozen=True)
class Tls:
    """PEM files for grpcs:// and https://.

    Attributes:
        ca: authorities to verify the server's certificate; None for the system's.
        cert, key: the client's certificate and key, for a server that requires one.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise OptionsError(
                "tls", got="a certificate or a key alone", expected="both of `cert` and `key`, or neither"
            )
        for name, path in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if path is not None and not Path(path).is_file():
                raise OptionsError(f"tls.{name}", got=f"{path}, which is not a file", expected="a PEM file")

    def read(self, name: str) -> bytes | None:
        """The bytes of one of the three files, None if not given."""
        path = getattr(self, name)
        return None if path is None else Path(path).read_bytes()


@dataclass(frozen=True)
class Target:
    """A model behind an address.

    Attributes:
        scheme: grpc, grpcs, http or https.
        host, port: the server.
        prefix: REST: the path before /v1/models, such as "/serving" behind an ingress; may be "".
        model: the served name.
        version, label: at most one of them; by default the newest version.
    """

    scheme: str
    host: str
    port: int
    prefix: str
    model: str
    version: int | None = None
    label: str | None = None

    @property
    def grpc(self) -> bool:
        return self.scheme.startswith("grpc")

    @property
    def secure(self) -> bool:
        return self.scheme.endswith("s")

    @property
    def address(self) -> str:
        """host:port, with an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """REST: the path of the model and its version, to which `:predict` or `/metadata` is added."""
        chosen = f"/versions/{self.version}" if self.version is not None else ""
        chosen = f"/labels/{quote(self.label, safe='')}" if self.label is not None else chosen
        return f"{self.prefix}/v1/models/{quote(self.model, safe='')}{chosen}"


def is_url(text: str) -> bool:
    """Whether the text is the URL of a server rather than a folder."""
    return text.split("://", 1)[0] in _PORTS and "://" in text


def parse(url: str, model: str | None = None, version: int | None = None, label: str | None = None) -> Target:
    """Parses a URL and the arguments that go with it.

    Args:
        url: `grpc://host[:8500][/MODEL]`, `grpcs://host[:443][/MODEL]`, `http://host[:8501][/MODEL]`,
            `https://host[:443][/MODEL]`; over HTTP also `[/PREFIX]/v1/models/MODEL`.
        model: the served name, if the URL does not end with it.

    Raises:
        OptionsError: another scheme, no model, two of them, or a version and a label.
    """
    example = "such as grpc://localhost:8500/reviews or http://localhost:8501/reviews"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise OptionsError(f"the address {url}", got=str(error), expected=f"a URL {example}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise OptionsError(f"the address {url}", got="no such URL", expected=f"grpc(s):// or http(s)://, {example}")
    prefix, named = _split_path(parts.scheme, parts.path, url)
    if model and named and model != named:
        raise OptionsError(f"the address {url}", got=f"the models {named!r} and {model!r}", expected="one of them")
    if not (model or named):
        raise OptionsError(
            f"the address {url}", got="no model", expected=f"the served name, {example}", fix="or give `model`"
        )
    if version is not None and label is not None:
        raise OptionsError("the version", got=f"version {version} and label {label!r}", expected="one of them")
    return Target(
        parts.scheme, parts.hostname, port or _PORTS[parts.scheme], prefix, model or named or "", version, label
    )


def _split_path(scheme: str, path: str, url: str) -> tuple[str, str | None]:
    """The prefix and the model's name in the path of a URL."""
    names = [name for name in path.split("/") if name]
    if scheme.startswith("http") and len(names) >= 3 and names[-3:-1] == ["v1", "models"]:
        return "".join(f"/{name}" for name in names[:-3]), unquote(names[-1])
    if len(names) > 1:
        raise OptionsError(
            f"the address {url}",
            got=f"the path {path}",
            expected="a model's name alone" + (", or PREFIX/v1/models/NAME" if scheme.startswith("http") else ""),
        )
    return "", unquote(names[0]) if names else None
