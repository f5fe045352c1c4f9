"""What the server answers on the paths of the page: the document at `/`, and under `/page/models` what the API lacks.

`/page/models` lists the models, with the labels of their versions, and says where gRPC is. With API keys it asks for
one, and lists only the models that this key may query. `/page/models/NAME/versions/VERSION` gives the kind of task.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from serving.errors import StatusError
from serving.server.api_keys import ApiKey
from serving.server.front.frontend import Frontend
from serving.server.front.json.json_errors import error_body
from serving.server.front.page.page_document import page_document
from serving.server.models.version_sources import versions_on_disk

PageAnswer = tuple[int, bytes, Mapping[str, str]]
"""The HTTP status, the body, and fields of the header."""

_PAGE, _MODELS = "/", re.compile(r"/page/models(?:/([^/]+)/versions/(\d{1,19}))?", re.ASCII)
_TASK_FILE = "assets.extra/transom.json"  # of a model that Transom exported
_TASKS = ("single_label", "multi_label", "regression")
_JSON_FIELDS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class TryPage:
    """The page of one process.

    Args:
        frontend: whose models the page shows.
    """

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend
        self._document = page_document(keys=frontend.keys is not None)
        self._tasks: dict[tuple[str, int], dict[str, Any]] = {}

    async def answer(self, method: str, path: str, headers: Mapping[str, str]) -> PageAnswer | None:
        """The answer to a request, None if the path or the method is not the page's.

        Args:
            path: as sent, including the query, which means nothing here.
            headers: with names in any case.
        """
        path = path.partition("?")[0]
        if path == _PAGE and method in ("GET", "HEAD"):
            return 200, self._document.body, self._document.fields
        match = _MODELS.fullmatch(path)
        if match is None or method != "GET":
            return None
        try:
            key = self._frontend.authenticate(headers)
            name = unquote(match[1] or "")
            if key is not None:
                key.check_model(name)
            found = await self._task(name, int(match[2])) if name else self._models(key)
        except StatusError as error:
            return error.code.http, error_body(error.message), _JSON_FIELDS
        return 200, orjson.dumps(found), _JSON_FIELDS

    def _models(self, key: ApiKey | None) -> dict[str, Any]:
        options = self._frontend.options
        models = [
            {"name": name, "labels": sorted(config.version_labels)}
            for name, config in self._frontend.model_configs.items()
            if key is None or key.may_query(name)
        ]
        return {"models": models, "grpc": {"port": options.port, "tls": options.tls is not None}}

    async def _task(self, name: str, version: int) -> dict[str, Any]:
        """The task's type and threshold, as far as the version's folder tells; the disk is read once."""
        known = self._tasks.get((name, version))
        if known is None:
            known = await asyncio.to_thread(self._read_task, name, version)
            if known:  # of a version that exists: others could be without end
                self._tasks[name, version] = known
        return known

    def _read_task(self, name: str, version: int) -> dict[str, Any]:
        try:
            folder = versions_on_disk(self._frontend.model_configs[name])[version]
            task = json.loads((folder / _TASK_FILE).read_bytes())["task"]
            found = {"type": task["type"], "threshold": task.get("threshold")}
        except (StatusError, OSError, KeyError, ValueError, TypeError, AttributeError):  # another program's model
            return {}
        return found if found["type"] in _TASKS else {}
