"""REST's paths (tensorflow_serving/model_servers/http_rest_api_util.cc): an HTTP method and a path give a `Route`."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from serving.errors import StatusError, invalid_argument
from serving.wire import protos

API = re.compile(r"(?i)/v1/.*")
"""The paths of the API; any other is not found."""

_VERSION = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_POST_PATH = re.compile(rf"(?i)/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.ASCII)
_GET_PATH = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.ASCII)

_INT64_DIGITS = 19
_MAX_QUOTED = 1024  # characters
_CACHED_PATHS = 256  # of 8 KiB at most, the longest that the server accepts

POST_ACTIONS, GET_ACTIONS = ("predict", "classify", "regress"), ("status", "metadata")


@dataclass(frozen=True)
class Route:
    """An action of `POST_ACTIONS` or `GET_ACTIONS`, and the `ModelSpec` message of its model."""

    action: str
    model_spec: Any


def parse_route(method: str, path: str) -> Route:
    """The route of a request.

    Args:
        method: POST or GET; no other has a route.
        path: as sent, including percent-encoding, query and fragment. A path with a query matches no route.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    action, name, version, label = _match(method, path)
    spec = protos.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label
    return Route(action, spec)


@functools.lru_cache(_CACHED_PATHS)
def _match(method: str, path: str) -> tuple[str, str, int | None, str]:
    """The action, and the model's name, version and label. Cached: clients send the same paths over and over."""
    pattern = {"POST": _POST_PATH, "GET": _GET_PATH}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise _malformed(method, path)
    name, digits, label, suffix = match.groups()
    version = _number(digits) if digits else None
    if method == "POST":
        # The pattern matches any case, but TF Serving then accepts only lower case.
        if suffix not in POST_ACTIONS:
            raise _malformed(method, path)
    elif not name:
        raise invalid_argument("Missing model name in request.")
    action = suffix if method == "POST" else "metadata" if suffix == "metadata" else "status"
    return action, _decoded(name or ""), version, _decoded(label or "")


def _decoded(part: str) -> str:
    return unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _number(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    # Digits are counted first: Python refuses to convert thousands of them.
    if len(significant) > _INT64_DIGITS or int(significant) >= 2**63:
        raise invalid_argument(f"Failed to convert version: {_quoted(digits)} to numeric.")
    return int(significant)


def _quoted(text: str) -> str:
    """Part of a path for an error message, cut if it is long."""
    cut = text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
    return cut.encode("utf-8", "replace").decode()


def _malformed(method: str, path: str) -> StatusError:
    return invalid_argument(f"Malformed request: {_quoted(method)} {_quoted(path)}")
