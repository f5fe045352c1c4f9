"""Chromium for tests: pages are opened in the real browser, with an accessibility checker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from isolated import run

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIEWS = ("1280", "900", "light", "1280", "900", "dark", "360", "740", "light", "360", "740", "dark")
"""A desktop and a phone, each in both themes."""


def visit(page: Path, folder: Path, views: tuple[str, ...] = VIEWS) -> dict[str, Any]:
    """What `visit.py` prints of a page; screenshots are in `folder`. Skips the test without a browser."""
    chromium = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    script = Path(__file__).with_name("visit.py")
    found: dict[str, Any] = json.loads(run("browser", [script, chromium, page.resolve().as_uri(), str(folder), *views]))
    return found
