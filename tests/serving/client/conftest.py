"""The fake server, and a synchronous or asynchronous client that queries it over gRPC or REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_serving import FakeServing

from serving.client import AsyncClient, Client


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    """A server with the four models of `fake_serving`, on two free ports."""
    with FakeServing() as server:
        yield server


def ask_sync(url: str, model: str, method: str, *arguments: Any, options: Any = None, **keywords: Any) -> Any:
    with Client(url, model, **(options or {})) as client:
        return getattr(client, method)(*arguments, **keywords)


def ask_async(url: str, model: str, method: str, *arguments: Any, options: Any = None, **keywords: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, model, **(options or {})) as client:
            return await getattr(client, method)(*arguments, **keywords)

    return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Creates a client and calls one of its methods."""
    return ask_sync if request.param == "sync" else ask_async


@pytest.fixture(params=["grpc", "rest"])
def url(request: pytest.FixtureRequest, fake: FakeServing) -> str:
    return fake.url(request.param)
