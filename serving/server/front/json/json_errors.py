"""The body of a response that is an error."""

from __future__ import annotations

import orjson


def error_body(message: str) -> bytes:
    """As TF Serving writes it; what is no character is replaced."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()}, option=orjson.OPT_INDENT_2)
