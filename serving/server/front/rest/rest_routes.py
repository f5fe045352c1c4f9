"""REST's paths (tensorflow_serving/model_servers/http_rest_api_util.cc): what a method and a path ask for."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from serving.errors import Code, StatusError
from serving.wire import protos

API = re.compile(r"(?i)/v1/.*")
"""Paths that are the API's; any other is not found."""

_VERSION = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_ASK = re.compile(rf"(?i)/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.ASCII)
_LOOK = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.ASCII)

_INT64_DIGITS = 19
_SHOWN = 1024  # characters
_KNOWN_PATHS = 256  # of 8 KiB at most, which is as long as the server takes them

ASKED, LOOKED_AT = ("predict", "classify", "regress"), ("status", "metadata")


@dataclass(frozen=True)
class Route:
    """What is asked for: `action` is one of `ASKED` or `LOOKED_AT`."""

    action: str
    model_spec: Any


def route(method: str, path: str) -> Route:
    """The route of a request.

    Args:
        method: POST or GET; no other has a route.
        path: as it was sent, its percent-encoding, query and fragment included. A query matches no route.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    action, name, version, label = _parsed(method, path)
    spec = protos.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label
    return Route(action, spec)


@functools.lru_cache(_KNOWN_PATHS)
def _parsed(method: str, path: str) -> tuple[str, str, int | None, str]:
    """The action, and the model's name, version and label. Callers ask for the same path again and again."""
    pattern = {"POST": _ASK, "GET": _LOOK}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise _malformed(method, path)
    name, digits, label, what = match.groups()
    version = _number(digits) if digits else None
    if method == "POST":
        # The pattern takes any case, and TF Serving then knows only the lower one.
        if what not in ASKED:
            raise _malformed(method, path)
    elif not name:
        raise StatusError(Code.INVALID_ARGUMENT, "Missing model name in request.")
    action = what if method == "POST" else "metadata" if what == "metadata" else "status"
    return action, _decoded(name or ""), version, _decoded(label or "")


def _decoded(part: str) -> str:
    return unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _number(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    # So many digits first, since Python makes no number of thousands.
    if len(significant) > _INT64_DIGITS or int(significant) >= 2**63:
        raise StatusError(Code.INVALID_ARGUMENT, f"Failed to convert version: {_shown(digits)} to numeric.")
    return int(significant)


def _shown(text: str) -> str:
    """Text of a path for a message, cut where it is long."""
    return (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...").encode("utf-8", "replace").decode()


def _malformed(method: str, path: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, f"Malformed request: {_shown(method)} {_shown(path)}")
