"""Tiny steps for decoding and encoding JSON, so that short texts take many of them. Not a test itself."""

from __future__ import annotations

import contextlib
from unittest import mock

from serving.server.front.json import (
    json_arrays,
    json_fragments,
    json_parsing,
    json_responses,
    json_splitting,
    json_strings,
)


@contextlib.contextmanager
def tiny_steps(size):
    """Makes chunks `size` bytes, and steps about as many values."""
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (json_parsing, "INLINE_BYTES", 1),
            (json_splitting, "CHUNK_BYTES", size),
            (json_fragments, "CHUNK_BYTES", size),
            (json_strings, "_STEP_BYTES", 3 * size),
            (json_arrays, "_STEP_VALUES", size),
            (json_responses, "_STEP_VALUES", size),
            (json_responses, "_STEP_BYTES", size),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield
