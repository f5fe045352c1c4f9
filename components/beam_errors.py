"""Transom's errors through Beam, which passes on a worker's error only as the text of its traceback.

A worker raises `encode_error(error)`; the caller that runs the pipeline gets the error itself back with `reraise`:

    with reraise():
        with beam.Pipeline() as pipeline: ...
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator

from models import errors
from tflite.host.json_text import to_json

_MARK = "transom-error:"
_PACKED = re.compile(rf"{_MARK}([A-Za-z0-9_\-]+=*):")


def encode_error(error: errors.TransomError) -> RuntimeError:
    """An exception whose text holds the four parts of `error`, even if other exceptions are wrapped around it."""
    parts = [type(error).__name__, error.what, error.got, error.expected, error.fix]
    # JSON escapes characters that UTF-8 cannot hold, base64 those that a traceback might break.
    return RuntimeError(f"{_MARK}{base64.urlsafe_b64encode(to_json(parts, ascii=True).encode()).decode()}: {error}")


def decode_error(error: BaseException | None) -> errors.TransomError | None:
    """The first of Transom's errors in an exception, in its text, or in the exceptions that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, errors.TransomError):
            return error
        match = _PACKED.search(str(error))
        if match:
            name, what, got, expected, fix = json.loads(base64.urlsafe_b64decode(match.group(1)))
            return _error_class(name)(what, got=got, expected=expected, fix=fix)
        error = error.__cause__ or error.__context__
    return None


def _error_class(name: str) -> type[errors.TransomError]:
    found = getattr(errors, name, errors.TransomError)
    return found if isinstance(found, type) and issubclass(found, errors.TransomError) else errors.TransomError


@contextlib.contextmanager
def reraise() -> Iterator[None]:
    """Raises Transom's error instead of Beam's exception; leaves every other exception unchanged."""
    try:
        yield
    except Exception as error:
        decoded = decode_error(error)
        if decoded is None or decoded is error:
            raise
        raise decoded from None
