"""Our errors through Beam, which hands an error of a worker on as the text of its traceback.

A worker raises `encode_error(error)`; whoever ran the pipeline gets the error itself back with `reraise`:

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
    """An exception whose text carries the four parts of `error`, whatever is wrapped around it on the way."""
    parts = [type(error).__name__, error.what, error.got, error.expected, error.fix]
    # json escapes what UTF-8 cannot hold, base64 what a traceback might break
    return RuntimeError(f"{_MARK}{base64.urlsafe_b64encode(to_json(parts, ascii=True).encode()).decode()}: {error}")


def decode_error(error: BaseException | None) -> errors.TransomError | None:
    """The first of our errors in an exception, its text, or the exceptions that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, errors.TransomError):
            return error
        match = _PACKED.search(str(error))
        if match:
            kind, what, got, expected, fix = json.loads(base64.urlsafe_b64decode(match.group(1)))
            return _kind(kind)(what, got=got, expected=expected, fix=fix)
        error = error.__cause__ or error.__context__
    return None


def _kind(name: str) -> type[errors.TransomError]:
    kind = getattr(errors, name, errors.TransomError)
    return kind if isinstance(kind, type) and issubclass(kind, errors.TransomError) else errors.TransomError


@contextlib.contextmanager
def reraise() -> Iterator[None]:
    """Raises our error in place of what Beam made of it; leaves every other exception alone."""
    try:
        yield
    except Exception as error:
        ours = decode_error(error)
        if ours is None or ours is error:
            raise
        raise ours from None
