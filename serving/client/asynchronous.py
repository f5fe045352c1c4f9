"""The client for asyncio."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from serving.client import flows
from serving.client.base_client import BaseClient
from serving.client.errors import ClientError
from serving.client.flows import Flow, Gather, SendCall, Step

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    make_flow: Callable[Concatenate[BaseClient, P], Flow[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A coroutine method that runs the flow and returns its result."""

    @functools.wraps(make_flow)
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._run(make_flow(client, *args, **kwargs))

    return method


class AsyncClient(BaseClient):
    """`Client` for asyncio. Create and use it in one running event loop, in any number of tasks."""

    _for_asyncio = True

    predict = _awaited(flows.predict)
    predict_arrays = _awaited(flows.predict_arrays)
    classify = _awaited(flows.classify)
    regress = _awaited(flows.regress)
    status = _awaited(flows.status)
    metadata = _awaited(flows.metadata)
    reload_config = _awaited(flows.reload_config)

    async def close(self) -> None:
        """Closes the connection; the client can no longer be used."""
        await self._connection.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = await self._perform(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, SendCall):
            return await self._connection.send(step.call, step.timeout)
        if isinstance(step, Gather):
            return await self._gather(step)
        return await asyncio.sleep(step.seconds)

    async def _gather(self, step: Gather) -> list[Any]:
        slots = asyncio.Semaphore(self.in_flight)

        async def run(flow: Flow) -> Any:
            async with slots:
                return await self._run(flow)

        tasks = [asyncio.create_task(run(flow)) for flow in step.flows]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
