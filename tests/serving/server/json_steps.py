"""JSON read and written in steps that are tiny, so that short texts take many of them. Not a test itself."""

from __future__ import annotations

import contextlib
from unittest import mock

from serving.server import json_answers, json_arrays, json_pieces, json_scan, json_strings, json_text


@contextlib.contextmanager
def tiny_steps(size):
    """Chunks of so many bytes, and steps of about as many values."""
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (json_text, "INLINE_BYTES", 1),
            (json_scan, "CHUNK_BYTES", size),
            (json_pieces, "CHUNK_BYTES", size),
            (json_strings, "_STEP_BYTES", 3 * size),
            (json_arrays, "_STEP_VALUES", size),
            (json_answers, "_STEP_VALUES", size),
            (json_answers, "_STEP_BYTES", size),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield
