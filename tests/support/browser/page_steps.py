"""Steps on the page in a browser, and what is expected of its server. Not a test itself."""

from __future__ import annotations

from typing import Any

import httpx
from page_servers import PageServer

TEXT = "the film was good"
ASK = ("press", "Control+Enter")
ASKED = ("see", "#marked", "integrated gradients")
# A browser names every answer with an error there, and advises to put a password into a form.
EXPECTED = ("Failed to load resource", "[DOM] Password field")


def unexpected(found: dict[str, Any]) -> list[str]:
    return [line for line in found["console"] if not line.startswith(EXPECTED)]


def answer_of(server: PageServer, model: str, *texts: str) -> Any:
    instance = texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}
    response = httpx.post(f"{server.url}v1/models/{model}:predict", json={"instances": [instance]}, timeout=60)
    return response.json()["predictions"][0]
