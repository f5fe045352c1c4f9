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
    script = Path(__file__).with_name("visit.py")
    url = page.resolve().as_uri()
    found: dict[str, Any] = json.loads(run("browser", [script, _chromium(), url, str(folder), *views]))
    return found


def drive(url: str, steps: list[tuple[Any, ...]], width: int = 1280, scheme: str = "light") -> dict[str, Any]:
    """What `drive.py` prints after these steps on a page. Skips the test without a browser."""
    script = Path(__file__).with_name("drive.py")
    scenario = json.dumps({"url": url, "steps": steps, "width": width, "scheme": scheme})
    found: dict[str, Any] = json.loads(run("browser", [script, _chromium()], given=scenario))
    return found


def _chromium() -> str:
    chromium = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    return chromium
