"""What a configuration may hold that is no one else's business: a model's lineage and card leave it out."""

from __future__ import annotations

import re
from typing import Any

LEFT_OUT = ("beam", "kubeflow")
"""Sections that say only where the steps run, and may hold credentials and environment variables."""
_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#]*@")


def without_credentials(value: Any) -> Any:
    """JSON values without "user:password@" in addresses, at any depth."""
    if isinstance(value, dict):
        return {key: without_credentials(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_credentials(part) for part in value]
    return _CREDENTIALS.sub("", value) if isinstance(value, str) else value
